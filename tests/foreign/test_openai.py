"""The client of OpenAI by itself, below a node of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import OpenAI
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInferenceOpenAI
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as OfficialOpenAI

from spandag.testing import ModelServer, Reply, ToolCall

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


def converse(server: ModelServer, recorder: Any) -> None:
    """Three calls in one trace: a tool is asked for, its result is answered, and so is another question."""
    client = OpenAI(base_url=server.url_for("actor"), api_key="any", max_retries=0)
    messages: list[Any] = [{"role": "user", "content": "1 + 2?"}]
    with recorder.provider.get_tracer("app").start_as_current_span("conversation"):
        for more in (
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
            {"role": "user", "content": "Sure?"},
            None,
        ):
            answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[TOOL])
            messages += [answer.choices[0].message.model_dump(exclude_none=True), more]


@pytest.mark.parametrize("others", [OfficialOpenAI, OpenInferenceOpenAI])
def test_an_answer_and_its_return_in_the_history_are_one_message(
    others, capture_content, instrument, serve, stored, recorder, served
):
    instrument(others())
    server = serve(
        actor=[Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}, id="c1")]), "It is 3.", "Quite sure."]
    )

    converse(server, recorder)

    store = stored()
    asked, answered = store.hashes("input"), [output for [output] in store.hashes("output")]
    assert [len(messages) for messages in asked] == [1, 3, 5]
    assert asked[1] == [*asked[0], answered[0], asked[1][-1]]
    assert asked[2] == [*asked[1], answered[1], asked[2][-1]]
    contents = dict(store.rows("SELECT hash, content FROM messages WHERE format = 'message'"))
    assert len(contents) == 6
    tool_call, result = (json.loads(contents[digest]) for digest in (asked[2][1], asked[2][2]))
    [part] = tool_call["parts"]
    assert part == {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1, "b": 2}}
    [part] = result["parts"]
    assert part == {"type": "tool_call_response", "id": "c1", "response": "3"}
    assert store.spent() == served(server.counted())


def test_both_dialects_beside_each_other_count_once(instrument, serve, stored, recorder, served):
    instrument(OfficialOpenAI(), OpenInferenceOpenAI())
    server = serve(actor=["One.", "Two.", "Three."])

    converse(server, recorder)

    store = stored()
    assert store.spent() == served(server.counted())
    assert len(store.details("llm")) == 6


def test_a_call_below_a_node_of_ours_belongs_to_it(instrument, serve, stored, global_recorder):
    import spandag

    instrument(OfficialOpenAI())
    server = serve(actor=["Done."])
    with spandag.run("report"), spandag.agent("writer"):
        OpenAI(base_url=server.url_for("actor"), api_key="any").chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Go"}]
        )

    store = stored()
    assert store.tree() == ["run report", "  agent writer", "    llm gpt-4o-mini"]
    assert store.rows("SELECT agent_name FROM cost_records") == [("writer",)]
