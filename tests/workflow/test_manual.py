"""Nodes opened by hand, and the current node."""

from __future__ import annotations

import pytest

import spandag


def test_agents_tools_and_chats_opened_by_hand_are_like_instrumented_ones(recorder, capture_content):
    with spandag.agent("planner", description="plans", model="gpt-4o-mini", input="go") as agent:
        with spandag.chat("gpt-4o-mini", provider="openai", input="go") as chat:
            chat.set_usage(1000, 100, cache_read_tokens=400, reasoning_tokens=7)
            chat.set_output("done")
        with spandag.tool("lookup", description="looks", call_id="c1", arguments={"q": 1}) as tool:
            tool.set_output([1, 2])
        agent.set_output("planned")
    assert recorder.tree() == ["invoke_agent planner", "  chat gpt-4o-mini", "  execute_tool lookup"]
    agent_span, chat_span, tool_span = recorder.spans
    cost = (600 * 0.15 + 400 * 0.075 + 100 * 0.6) / 1_000_000
    assert dict(chat_span.attributes) == {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.agent.name": "planner",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"go"}]}]',
        "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"done"}]}]',
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "gen_ai.usage.cost": pytest.approx(cost),
        "operation.cost": pytest.approx(cost),
        "spandag.price.source": "genai-prices",
    }
    assert chat_span.kind.name == "CLIENT"
    assert dict(tool_span.attributes) == {
        "spandag.node.type": "tool",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "lookup",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "looks",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.agent.name": "planner",
        "gen_ai.tool.call.arguments": '{"q":1}',
        "gen_ai.tool.call.result": "[1,2]",
    }
    assert dict(agent_span.attributes) == {
        "spandag.node.type": "agent",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "planner",
        "gen_ai.agent.description": "plans",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"go"}]}]',
        "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"planned"}]}]',
        "spandag.total.input_tokens": 1000,
        "spandag.total.output_tokens": 100,
        "spandag.total.unpriced_calls": 0,
        "spandag.total.cost": pytest.approx(cost),
    }


def test_an_agent_below_an_agent_is_a_sub_agent(recorder):
    with spandag.agent("manager"), spandag.tool("ask"), spandag.agent("worker"):
        pass
    assert [span.attributes["spandag.node.type"] for span in recorder.spans] == ["agent", "tool", "sub_agent"]


def test_totals_stand_on_every_parent_and_tell_what_has_no_price(recorder):
    with spandag.run("report"), spandag.phase("p"), spandag.agent("a"):
        with spandag.chat("gpt-4o-mini", provider="openai") as chat:
            chat.set_usage(100, 10)
        with spandag.chat("home-grown", provider="me") as chat:
            chat.set_usage(1, 2)
    for span in recorder.spans[:3]:
        assert span.attributes["spandag.total.input_tokens"] == 101
        assert span.attributes["spandag.total.output_tokens"] == 12
        assert span.attributes["spandag.total.unpriced_calls"] == 1
        assert span.attributes["spandag.total.cost"] == pytest.approx(21e-6)
    assert "gen_ai.usage.cost" not in recorder.named("chat home-grown").attributes


def test_decorated_tools_record_their_arguments_and_result(recorder, capture_content):
    @spandag.tool("add")
    def add(a, b):
        return a + b

    assert add(1, b=2) == 3
    [span] = recorder.spans
    assert span.attributes["gen_ai.tool.call.arguments"] == '{"a":1,"b":2}'
    assert span.attributes["gen_ai.tool.call.result"] == "3"


def test_the_current_node_takes_attributes_and_events(recorder):
    with spandag.run("report"), spandag.tool("t"):
        spandag.current().set_attribute("colour", "blue")
        spandag.current("run").add_event("policy_decision", {"allowed": True, "why": None})
    run, tool = recorder.spans
    assert tool.attributes["colour"] == "blue"
    [event] = run.events
    assert (event.name, dict(event.attributes)) == ("policy_decision", {"allowed": True})


def test_without_a_node_attributes_and_events_go_nowhere_quietly(recorder):
    spandag.current().set_attribute("colour", "blue")
    spandag.current("step").set_output(1)
    assert spandag.current("step").feedback is None
    assert recorder.spans == []


def test_a_rejection_without_a_step_is_not_passed_over_in_silence():
    with pytest.raises(RuntimeError, match="no step is running"):
        spandag.current("step").reject("nobody hears it")


def test_secrets_never_reach_a_span(recorder, capture_content):
    with spandag.tool("t", arguments={"api_key": "abc", "text": "Bearer abcdefghijklmnopqrstuv"}) as tool:
        tool.set_attribute("password", "hunter2")
        tool.add_event("note", {"text": "key sk-abcdefghijklmnopqrstuvwx"})
    [span] = recorder.spans
    assert span.attributes["gen_ai.tool.call.arguments"] == '{"api_key":"[redacted]","text":"[redacted]"}'
    assert span.attributes["password"] == "[redacted]"
    assert span.events[0].attributes["text"] == "key [redacted]"


def test_a_node_has_the_ids_that_a_store_knows_it_by(stored):
    with spandag.run("report") as run, spandag.agent("planner") as agent:
        assert spandag.current().run_id == run.run_id
    assert [(row["run_id"], row["id"]) for row in stored.nodes("agent")] == [(run.run_id, agent.id)]
