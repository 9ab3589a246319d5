"""A model call is counted once, however many layers of software make it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from spandag import _guard
from spandag.pricing import Usage
from spandag.spans.chat import ChatResponse, start_chat
from spandag.spans.content import message, text_part
from spandag.spans.node import Node, current
from spandag.spans.operations import start_agent, start_run


@pytest.fixture
def tracer(recorder: Any) -> trace.Tracer:
    return recorder.provider.get_tracer("tests")


def test_a_call_has_its_attributes(recorder, tracer, capture_content):
    with start_agent(tracer, "writer"):
        chat = start_chat(
            tracer,
            "gpt-4o-mini",
            provider="openai",
            server_address="localhost",
            server_port=80,
            request={"gen_ai.request.temperature": 0.5, "gen_ai.request.seed": None},
            input_messages=lambda: [message("user", [text_part("Go")])],
            tool_definitions=lambda: [{"name": "t"}],
        )
        at_start = dict(chat.span.attributes)
        with chat:
            chat.respond(
                ChatResponse(
                    model="gpt-4o-mini-2024-07-18",
                    id="r1",
                    finish_reasons=["stop"],
                    usage=Usage(1000, 100, 400, 0, 20),
                    messages=lambda: [message("assistant", [text_part("Done")], finish_reason="stop")],
                )
            )

    span = recorder.named("chat gpt-4o-mini")
    assert span.kind is SpanKind.CLIENT
    started = {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.agent.name": "writer",
        "server.address": "localhost",
        "server.port": 80,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Go"}]}]',
        "gen_ai.tool.definitions": '[{"name":"t"}]',
    }
    assert at_start == started
    cost = pytest.approx((600 * 0.15 + 400 * 0.075 + 100 * 0.60) / 1_000_000)
    assert dict(span.attributes) == {
        **started,
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "r1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Done"}],'
        '"finish_reason":"stop"}]',
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "gen_ai.usage.cache_write.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 20,
        "gen_ai.usage.cost": cost,
        "operation.cost": cost,
        "spandag.price.source": "genai-prices",
    }


def test_a_call_that_learns_nothing_says_nothing(recorder, tracer):
    with start_chat(tracer, None):
        pass

    assert dict(recorder.named("chat").attributes) == {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
    }


def test_the_model_that_answered_is_the_one_that_is_billed(recorder, tracer):
    with start_chat(tracer, "gpt-4o", provider="openai") as chat:
        chat.respond(ChatResponse(model="gpt-4o-mini", usage=Usage(1_000_000, 0)))

    assert recorder.spans[0].attributes["gen_ai.usage.cost"] == pytest.approx(0.15)


def test_a_cost_that_the_provider_says_wins(recorder, tracer):
    with start_chat(tracer, "gpt-4o", provider="openai") as chat:
        chat.set_usage(10, 1, cost=0.5)

    attributes = recorder.spans[0].attributes
    assert attributes["gen_ai.usage.cost"] == 0.5
    assert attributes["spandag.price.source"] == "provider"


def test_a_failed_call_is_an_error(recorder, tracer):
    with pytest.raises(ConnectionError), start_chat(tracer, "m"):
        raise ConnectionError("away")

    assert recorder.spans[0].status.status_code is StatusCode.ERROR
    assert recorder.spans[0].attributes["error.type"] == "ConnectionError"


def test_a_call_within_a_call_opens_no_span_and_completes_it(recorder, tracer):
    with start_agent(tracer, "a") as agent, start_chat(tracer, "router") as outer:
        with start_chat(tracer, "gpt-4o-mini", provider="openai") as inner:
            inner.respond(ChatResponse(model="gpt-4o-mini", id="r1", usage=Usage(100, 10, 40)))
            current().set_attribute("note", "seen")
        outer.respond(ChatResponse(usage=Usage(100, 10), finish_reasons=["stop"]))

    span = recorder.named("chat router")
    assert len(recorder.spans) == 2
    assert span.attributes["gen_ai.response.model"] == "gpt-4o-mini"
    assert span.attributes["gen_ai.response.id"] == "r1"
    assert span.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert span.attributes["gen_ai.usage.input_tokens"] == 100
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 40
    assert span.attributes["note"] == "seen"
    assert (agent.totals.calls, agent.totals.input_tokens) == (1, 100)


def test_layers_of_one_call_are_counted_once(recorder, tracer):
    with start_chat(tracer, "outer"), start_chat(tracer, "middle") as middle:
        with start_chat(tracer, "gpt-4o-mini") as inner:
            inner.respond(ChatResponse(model="gpt-4o-mini", usage=Usage(100, 10)))
        middle.respond(ChatResponse(usage=Usage(100, 10)))

    [span] = recorder.spans
    assert span.attributes["gen_ai.usage.input_tokens"] == 100
    assert span.attributes["gen_ai.response.model"] == "gpt-4o-mini"


def test_a_model_that_asks_several_pays_for_all(recorder, tracer):
    with start_chat(tracer, "ensemble") as outer:
        for model, usage in [("gpt-4o-mini", Usage(1000, 100, 400)), ("gpt-4o", Usage(500, 50))]:
            with start_chat(tracer, model, provider="openai") as inner:
                inner.respond(ChatResponse(model=model, usage=usage))
        # The framework hands on the last answer only.
        outer.respond(ChatResponse(usage=Usage(500, 50)))

    [span] = recorder.spans
    assert span.attributes["gen_ai.usage.input_tokens"] == 1500
    assert span.attributes["gen_ai.usage.output_tokens"] == 150
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 400
    cost = (600 * 0.15 + 400 * 0.075 + 100 * 0.60) + (500 * 2.5 + 50 * 10)
    assert span.attributes["gen_ai.usage.cost"] == pytest.approx(cost / 1_000_000)


def test_a_sum_with_an_unknown_price_has_none(recorder, tracer):
    with start_chat(tracer, "ensemble"):
        for model in ("gpt-4o-mini", "unheard-of"):
            with start_chat(tracer, model, provider="openai") as inner:
                inner.respond(ChatResponse(usage=Usage(10, 1)))

    [span] = recorder.spans
    assert span.attributes["gen_ai.usage.input_tokens"] == 20
    assert "gen_ai.usage.cost" not in span.attributes


def test_an_inner_call_that_fails_fails_the_outer_one_only_if_it_does(recorder, tracer):
    with start_chat(tracer, "fallback") as outer:
        with pytest.raises(ConnectionError), start_chat(tracer, "first"):
            raise ConnectionError("away")
        with start_chat(tracer, "gpt-4o-mini") as second:
            second.respond(ChatResponse(usage=Usage(10, 1)))
        assert outer.span.is_recording()

    [span] = recorder.spans
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.usage.input_tokens"] == 10
    [event] = span.events
    assert event.name == "attempt_failed"
    assert dict(event.attributes) == {
        "gen_ai.request.model": "first",
        "error.type": "ConnectionError",
        "exception.message": "away",
    }


def test_an_agent_within_a_call_has_calls_of_its_own(recorder, tracer):
    with start_chat(tracer, "outer"), start_agent(tracer, "a"), start_chat(tracer, "inner"):
        pass

    assert recorder.tree() == ["chat outer", "  invoke_agent a", "    chat inner"]


def totals_of(recorder: Any, name: str) -> dict[str, Any]:
    return {
        key.removeprefix("spandag.total."): value
        for key, value in recorder.named(name).attributes.items()
        if key.startswith("spandag.total.")
    }


def work(tracer: Any, outer_usage: Usage | None) -> None:
    """A model that has an agent think, whose model is asked twice."""
    with start_run(tracer, "r", node_class=Node), start_chat(tracer, "gpt-4o", provider="openai") as outer:
        with start_agent(tracer, "a"):
            for _ in range(2):
                with start_chat(tracer, "gpt-4o-mini", provider="openai") as inner:
                    inner.respond(ChatResponse(usage=Usage(100, 10)))
        if outer_usage is not None:
            outer.respond(ChatResponse(usage=outer_usage))


@pytest.mark.parametrize(
    ("outer_usage", "tokens_in", "tokens_out", "cost"),
    [
        (Usage(200, 20), 200, 20, 200 * 2.5 + 20 * 10),
        (Usage(0, 0), 0, 0, None),
        (None, 200, 20, 200 * 0.15 + 20 * 0.60),
        (Usage(None, None), 200, 20, 200 * 0.15 + 20 * 0.60),
    ],
)
def test_an_agent_within_a_call_is_counted_once(recorder, tracer, outer_usage, tokens_in, tokens_out, cost):
    work(tracer, outer_usage)

    priced = {} if cost is None else {"cost": pytest.approx(cost / 1_000_000)}
    assert totals_of(recorder, "invoke_workflow r") == {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "unpriced_calls": 0,
        **priced,
    }
    assert totals_of(recorder, "invoke_agent a")["input_tokens"] == 200


def test_a_layer_of_a_call_takes_nothing_from_the_agents_within_it(recorder, tracer):
    with (
        start_run(tracer, "r", node_class=Node),
        start_chat(tracer, "outer"),
        start_chat(tracer, "layer"),
        start_agent(tracer, "a"),
        start_chat(tracer, "inner") as inner,
    ):
        inner.respond(ChatResponse(usage=Usage(100, 10)))

    assert totals_of(recorder, "invoke_workflow r")["input_tokens"] == 100


@pytest.mark.parametrize(("error", "unpriced"), [(None, 1), (ValueError("no such model"), None)])
def test_a_call_that_does_not_say_its_tokens_has_no_price_unless_it_failed(recorder, tracer, error, unpriced):
    with start_agent(tracer, "a"):
        start_chat(tracer, "gpt-4o", provider="openai").end(error)

    assert totals_of(recorder, "invoke_agent a").get("unpriced_calls") == unpriced


def test_a_call_without_tokens_is_not_one_without_a_price(recorder, tracer):
    with start_agent(tracer, "a"), start_chat(tracer, "unheard-of") as chat:
        chat.set_usage(0, 0)

    assert totals_of(recorder, "invoke_agent a") == {
        "input_tokens": 0,
        "output_tokens": 0,
        "unpriced_calls": 0,
    }


@pytest.mark.parametrize("strange", [-5, float("nan"), float("inf"), "12", True])
def test_what_is_no_amount_is_left_out_and_spoils_no_sum(recorder, tracer, strange, caplog, monkeypatch):
    monkeypatch.setattr(_guard, "_said", set())
    with start_agent(tracer, "a"):
        with start_chat(tracer, "m") as good:
            good.set_usage(10, 1, cost=0.5)
        with start_chat(tracer, "m") as chat:
            chat.set_usage(strange, 3, reasoning_tokens=strange, cost=strange)

    usage = {k: v for k, v in recorder.spans[2].attributes.items() if "usage" in k or "cost" in k}
    assert usage == {"gen_ai.usage.output_tokens": 3}
    assert totals_of(recorder, "invoke_agent a") == {
        "input_tokens": 10,
        "output_tokens": 4,
        "unpriced_calls": 1,
        "cost": 0.5,
    }
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"spandag: {name} of a model call is left out: {strange!r} is no amount"
        for name in ("cost", "input_tokens", "reasoning_tokens")
    ]


def test_a_user_who_cannot_count_still_fails(recorder, tracer):
    with pytest.raises(ValueError), start_chat(tracer, "m") as chat:
        chat.set_usage("12", 3)  # type: ignore[arg-type]
        raise ValueError("no")

    [span] = recorder.spans
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "ValueError")


class TestBesideTheOfficialLibrary:
    """`opentelemetry-util-genai`, by which instrumentations agree on who opens the span."""

    @pytest.fixture
    def handler(self, recorder: Any) -> Any:
        module = pytest.importorskip("opentelemetry.util.genai.handler")
        assert "opentelemetry.util.genai.invocation" in sys.modules
        return module.TelemetryHandler(tracer_provider=recorder.provider)

    def test_their_call_within_ours_opens_no_span_and_completes_it(self, recorder, tracer, handler):
        with start_chat(tracer, "gpt-4o-mini", provider="openai") as chat:
            with handler.inference("openai", request_model="gpt-4o-mini") as theirs:
                theirs.input_tokens, theirs.output_tokens = 100, 10
                theirs.data.usage_cache_read_input_tokens = 40
                theirs.data.usage_reasoning_output_tokens = 5
                theirs.response_model_name = "gpt-4o-mini-2024-07-18"
                theirs.response_id = "r1"
                theirs.finish_reasons = ["stop"]
            chat.respond(ChatResponse(usage=Usage(100, 10)))

        [span] = recorder.spans
        cost = pytest.approx((60 * 0.15 + 40 * 0.075 + 10 * 0.6) / 1_000_000)
        assert dict(span.attributes) == {
            "spandag.node.type": "llm",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "r1",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 10,
            "gen_ai.usage.cache_read.input_tokens": 40,
            "gen_ai.usage.reasoning.output_tokens": 5,
            "gen_ai.usage.cost": cost,
            "operation.cost": cost,
            "spandag.price.source": "genai-prices",
        }

    def test_our_call_within_theirs_opens_no_span_and_completes_it(self, recorder, tracer, handler):
        with (
            handler.inference("openai", request_model="gpt-4o-mini"),
            start_chat(tracer, "gpt-4o-mini", provider="openai") as chat,
        ):
            chat.respond(ChatResponse(model="gpt-4o-mini-2024-07-18", usage=Usage(100, 10)))

        [span] = recorder.spans
        assert "spandag.node.type" not in span.attributes
        assert span.attributes["gen_ai.usage.input_tokens"] == 100
        assert span.attributes["gen_ai.usage.output_tokens"] == 10
        assert span.attributes["gen_ai.response.model"] == "gpt-4o-mini-2024-07-18"

    def test_one_after_the_other_are_two_spans(self, recorder, tracer, handler):
        with start_chat(tracer, "ours"):
            pass
        with handler.inference("openai", request_model="theirs"):
            pass

        assert [span.name for span in recorder.spans] == ["chat ours", "chat theirs"]

    def test_their_call_after_a_call_of_ours_learns_nothing_from_it(self, recorder, tracer, handler):
        for name in ("first", "second"):
            with start_chat(tracer, name), handler.inference("openai", request_model=name) as theirs:
                theirs.response_id = name

        assert [span.attributes["gen_ai.response.id"] for span in recorder.spans] == ["first", "second"]
