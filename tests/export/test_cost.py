"""Tokens and cost of model calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spandag import pricing
from spandag.store.rows import Batch

Project = Callable[..., Batch]

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "house-model",
    "gen_ai.provider.name": "house",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}


@pytest.fixture
def price_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"house-model": {"input": 2, "output": 10, "cache_read": 1}}))
    pricing.use_price_file(str(path))
    yield path
    pricing.use_price_file(None)


def test_every_kind_of_token_and_the_price_on_the_span(projected: Project) -> None:
    batch = projected(
        {
            **CALL,
            "gen_ai.usage.cache_read.input_tokens": 400,
            "gen_ai.usage.cache_write.input_tokens": 50,
            "gen_ai.usage.reasoning.output_tokens": 60,
            "gen_ai.usage.cost": 0.25,
            "operation.cost": 0.5,
            "spandag.price.source": "user",
        }
    )
    [node] = batch.dag_nodes
    [cost] = batch.cost_records
    assert cost._asdict() == {
        "run_id": node.run_id,
        "node_id": node.id,
        "model": "house-model",
        "provider": "house",
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_read_tokens": 400,
        "cache_write_tokens": 50,
        "reasoning_tokens": 60,
        "cost_usd": 0.25,
        "price_source": "user",
        "timestamp": node.ended_at,
    }


def test_a_price_that_others_put_on_the_span_counts(projected: Project, price_file: Path) -> None:
    [cost] = projected({**CALL, "operation.cost": 0.5}).cost_records
    assert (cost.cost_usd, cost.price_source) == (0.5, "span")


def test_a_price_of_nothing_is_a_price(projected: Project, price_file: Path) -> None:
    [cost] = projected({**CALL, "gen_ai.usage.cost": 0}).cost_records
    assert (cost.cost_usd, cost.price_source) == (0.0, "span")


def test_a_call_without_a_price_is_priced(projected: Project, price_file: Path) -> None:
    [cost] = projected({**CALL, "gen_ai.usage.cache_read.input_tokens": 400}).cost_records
    assert cost.cost_usd == pytest.approx((600 * 2 + 400 * 1 + 100 * 10) / 1e6)
    assert cost.price_source == "user"


def test_a_model_that_nobody_knows_has_no_price(projected: Project) -> None:
    [cost] = projected(CALL).cost_records
    assert (cost.cost_usd, cost.price_source, cost.input_tokens) == (None, None, 1000)


def test_the_older_name_of_cache_writes_is_understood(projected: Project) -> None:
    [cost] = projected({**CALL, "gen_ai.usage.cache_creation.input_tokens": 7}).cost_records
    assert cost.cache_write_tokens == 7


@pytest.mark.parametrize(
    "attributes",
    [
        {**CALL, "gen_ai.operation.name": "invoke_agent"},
        {"gen_ai.usage.input_tokens": 5},
    ],
)
def test_what_is_no_model_call_costs_nothing(projected: Project, attributes: dict[str, Any]) -> None:
    assert projected(attributes).cost_records == []


def test_a_call_that_answered_without_saying_its_usage_has_cost_nobody_knows_what(projected: Project) -> None:
    [cost] = projected({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}).cost_records
    assert (cost.model, cost.input_tokens, cost.output_tokens) == ("gpt-4o", None, None)
    assert (cost.cost_usd, cost.price_source) == (None, None)


@pytest.mark.parametrize("value", [-1, 2**70, 1.5, True, "12", float("nan")])
def test_a_count_that_is_none_is_not_said(projected: Project, value: object) -> None:
    [cost] = projected({**CALL, "gen_ai.usage.input_tokens": value}).cost_records
    assert cost.input_tokens is None


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf"), True, "free", 10**400])
def test_a_price_that_is_none_is_not_said(projected: Project, value: object) -> None:
    [cost] = projected({**CALL, "gen_ai.usage.cost": value}).cost_records
    assert (cost.cost_usd, cost.price_source) == (None, None)
