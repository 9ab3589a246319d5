"""Tokens become USD at the right rates, and what has no known price has none."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from spandag import pricing
from spandag.pricing import Price, PriceFileError, Usage, price, read_price_file

VARIABLE = "OTEL_EXPORTER_SPANDAG_PRICES"


@pytest.fixture
def price_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a price file and name it in the environment."""

    def write(content: object) -> Path:
        path = tmp_path / "prices.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        monkeypatch.setenv(VARIABLE, str(path))
        return path

    return write


PROGRAM = """
import sys, time
import wrapt

loaded = []
wrapt.register_post_import_hook(lambda _: loaded.append(time.time_ns()), "genai_prices.data_snapshot")

import spandag

{set_up}
assert not loaded, "loaded for a program that opens nothing"
with spandag.agent("engineer") as agent, spandag.step("think"):
    print(len(loaded), bool(loaded) and loaded[0] <= agent.span.start_time)
"""

SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""


@pytest.mark.parametrize(
    ("set_up", "printed"), [(SDK, "1 True"), ("", "0 False")], ids=["recorded", "not recorded"]
)
def test_prices_are_loaded_before_the_time_of_whatever_calls_a_model_begins(set_up, printed):
    program = PROGRAM.format(set_up=set_up)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == printed


def test_cached_tokens_have_a_rate_of_their_own():
    # gpt-4o-mini, USD per million tokens: 0.15 in, 0.075 from the cache, 0.60 out.
    found = price("gpt-4o-mini", "openai", Usage(1_000_000, 100_000, cache_read_tokens=400_000))

    assert found is not None
    assert found.cost == pytest.approx(0.6 * 0.15 + 0.4 * 0.075 + 0.1 * 0.60)
    assert found.source == "genai-prices"


def test_tokens_written_to_the_cache_have_one_too():
    # claude-sonnet-4-5: 3 in, 0.30 read from the cache, 3.75 written to it, 15 out.
    usage = Usage(10_000, 1_000, cache_read_tokens=4_000, cache_write_tokens=2_000)

    found = price("claude-sonnet-4-5", "anthropic", usage)

    assert found is not None
    assert found.cost == pytest.approx((4_000 * 3 + 4_000 * 0.3 + 2_000 * 3.75 + 1_000 * 15) / 1_000_000)


def test_reasoning_tokens_are_output_tokens():
    with_reasoning = price("gpt-5-mini", "openai", Usage(10, 100, reasoning_tokens=90))

    assert with_reasoning == price("gpt-5-mini", "openai", Usage(10, 100))


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("openai/gpt-4o-mini", None),
        ("openai/gpt-4o-mini", "litellm"),
        ("azure/gpt-4o-mini", "azure.ai.openai"),
        ("gpt-4o-mini", "azure.ai.openai"),
        ("gpt-4o-mini", None),
        ("gpt-4o-mini-2024-07-18", "openai"),
    ],
)
def test_prefixes_and_versions_are_the_same_model(model, provider):
    assert price(model, provider, Usage(1000, 100)) == price("gpt-4o-mini", "openai", Usage(1000, 100))


@pytest.mark.parametrize(
    ("model", "provider", "usage"),
    [
        ("no-such-model", "openai", Usage(10, 1)),
        ("no-such-model", None, Usage(10, 1)),
        (None, "openai", Usage(10, 1)),
        ("gpt-4o-mini", "openai", Usage(None, None)),
        ("gpt-4o-mini", "openai", Usage(0, 0)),
        ("gpt-4o-mini", "a-server-of-my-own", Usage(10, 1)),
        ("openai/gpt-oss-20b", "vllm", Usage(10, 1)),
        ("openai/gpt-oss-20b", "transformers", Usage(10, 1)),
        ("ollama/gpt-oss-20b", "litellm", Usage(10, 1)),
    ],
)
def test_what_is_not_known_has_no_price(model, provider, usage):
    assert price(model, provider, usage) is None


def test_more_cached_than_input_tokens_do_not_break():
    assert price("gpt-4o-mini", "openai", Usage(10, 1, cache_read_tokens=50)) is not None


def test_the_users_file_wins(price_file):
    price_file({"gpt-4o-mini": {"input": 1, "output": 2, "cache_read": 0.5, "cache_write": 4}})

    found = price("openai/gpt-4o-mini", "openai", Usage(1000, 100, 400, 100))

    assert found == Price(pytest.approx((500 * 1 + 400 * 0.5 + 100 * 4 + 100 * 2) / 1_000_000), "user")


def test_cached_tokens_without_a_rate_cost_what_others_do(price_file):
    price_file({"mine": {"input": 1, "output": 2}})

    assert price("mine", None, Usage(1000, 100, 400)) == Price(pytest.approx(0.0012), "user")


def test_a_full_name_in_the_file_wins_over_a_bare_one(price_file):
    price_file({"a/mine": {"input": 1, "output": 1}, "mine": {"input": 2, "output": 2}})

    assert price("a/mine", None, Usage(10, 0)) == Price(pytest.approx(0.00001), "user")
    assert price("b/mine", None, Usage(10, 0)) == Price(pytest.approx(0.00002), "user")


def test_a_price_of_nothing_is_a_price(price_file):
    price_file({"mine": {"input": 0, "output": 0}})

    assert price("mine", None, Usage(10, 1)) == Price(0.0, "user")


def test_a_model_that_the_file_lacks_has_its_usual_price(price_file):
    price_file({"mine": {"input": 1, "output": 2}})

    assert price("gpt-4o-mini", "openai", Usage(10, 1)).source == "genai-prices"


def test_a_file_named_in_code_wins_over_the_environment(price_file, tmp_path):
    price_file({"mine": {"input": 1, "output": 1}})
    other = tmp_path / "other.json"
    other.write_text('{"mine": {"input": 3, "output": 3}}')
    try:
        pricing.use_price_file(str(other))
        assert price("mine", None, Usage(10, 0)) == Price(pytest.approx(0.00003), "user")
    finally:
        pricing.use_price_file(None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ({"m": 5}, "needs input and output"),
        ({"m": {"input": 1}}, "needs input and output"),
        ({"m": {"input": 1, "output": 2, "cached": 3}}, "known are input, output, cache_read, cache_write"),
        ({"m": {"input": "1", "output": 2}}, "must be a number"),
        ({"m": {"input": -1, "output": 2}}, "must be a number"),
        ('{"m": {"input": NaN, "output": 2}}', "must be a number"),
        ({"m": {"input": True, "output": 2}}, "must be a number"),
        ('{"m": {"input": 1' + "0" * 400 + ', "output": 2}}', "must be a number"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_malformed_file_is_said_once_and_passed_over(price_file, caplog, content, message):
    path = price_file(content)

    with pytest.raises(PriceFileError, match=message):
        read_price_file(path)
    with caplog.at_level(logging.WARNING, logger="spandag"):
        for _ in range(3):
            assert price("gpt-4o-mini", "openai", Usage(10, 1)).source == "genai-prices"

    [record] = caplog.records
    assert message in record.getMessage()
    assert str(path) in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_said(tmp_path, name):
    with pytest.raises(PriceFileError, match="cannot read"):
        read_price_file(tmp_path / name)


def test_a_file_that_is_no_text_is_said(tmp_path):
    path = tmp_path / "prices.json"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(PriceFileError, match="is not JSON"):
        read_price_file(path)
