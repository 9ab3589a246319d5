"""A tool call is a span with the tool's own name and the model's id for the call."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from smolagents import CodeAgent, Tool, ToolCallingAgent

from spandag.testing import Reply, ToolCall

DONE = Reply(tool_calls=[ToolCall("final_answer", {"answer": "done"})])


def test_a_tool_call_has_everything(instrumented, serve, model, tools, capture_content):
    server = serve(actor=[Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}, id="call_7")]), DONE])
    agent = ToolCallingAgent(
        tools=[tools.add], model=model(server, "actor"), name="thinker", verbosity_level=0
    )

    agent.run("Go")

    span = instrumented.named("execute_tool add")
    assert dict(span.attributes) == {
        "spandag.node.type": "tool",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Add two numbers.",
        "gen_ai.tool.call.id": "call_7",
        "gen_ai.agent.name": "thinker",
        "gen_ai.tool.call.arguments": '{"a":1,"b":2}',
        "gen_ai.tool.call.result": "3",
    }
    assert span.kind is SpanKind.INTERNAL


def test_without_content_there_is_none(instrumented, serve, model, tools):
    server = serve(actor=["a plan", Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), DONE])
    agent = ToolCallingAgent(
        tools=[tools.add], model=model(server, "actor"), planning_interval=9, verbosity_level=0
    )

    agent.run("Go")

    names = {name for span in instrumented.spans for name in span.attributes}
    assert not names & {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.tool.definitions",
        "spandag.input",
        "spandag.output",
    }


def test_parallel_calls_of_one_tool_keep_their_ids(
    instrumented, serve, model, tools, capture_content, outline
):
    calls = [ToolCall("add", {"a": n, "b": 0}, id=f"call_{n}") for n in range(4)]
    server = serve(actor=[Reply(tool_calls=calls), DONE])
    agent = ToolCallingAgent(
        tools=[tools.add], model=model(server, "actor"), name="thinker", verbosity_level=0
    )

    agent.run("Go")

    found = {
        span.attributes["gen_ai.tool.call.id"]: span.attributes["gen_ai.tool.call.result"]
        for span in instrumented.spans
        if span.name == "execute_tool add"
    }
    assert found == {f"call_{n}": str(n) for n in range(4)}
    assert outline(instrumented)[:7] == [
        "invoke_agent thinker",
        "  run_step thinker",
        "    chat gpt-4o-mini",
        *["    execute_tool add"] * 4,
    ]


def test_a_call_without_arguments_keeps_its_id(instrumented, serve, model):
    class Clock(Tool):
        name = "clock"
        description = "Tells the time."
        inputs: ClassVar[dict[str, Any]] = {}
        output_type = "string"

        def forward(self) -> str:
            return "noon"

    server = serve(actor=[Reply(tool_calls=[ToolCall("clock", {}, id="call_7")]), DONE])

    ToolCallingAgent(tools=[Clock()], model=model(server, "actor"), verbosity_level=0).run("Go")

    assert instrumented.named("execute_tool clock").attributes["gen_ai.tool.call.id"] == "call_7"


def test_a_tool_that_a_tool_calls_is_below_it_and_has_no_id(instrumented, serve, model, tools, outline):
    class Twice(Tool):
        name = "twice"
        description = "Doubles."
        inputs: ClassVar[dict[str, Any]] = {"n": {"type": "integer", "description": "What."}}
        output_type = "integer"

        def forward(self, n: int) -> int:
            return tools.add(n, n)

    server = serve(actor=[Reply(tool_calls=[ToolCall("twice", {"n": 2}, id="call_7")]), DONE])

    ToolCallingAgent(tools=[Twice()], model=model(server, "actor"), verbosity_level=0).run("Go")

    assert outline(instrumented)[3:5] == ["    execute_tool twice", "      execute_tool add"]
    assert instrumented.named("execute_tool twice").attributes["gen_ai.tool.call.id"] == "call_7"
    assert "gen_ai.tool.call.id" not in instrumented.named("execute_tool add").attributes


@pytest.mark.parametrize(
    "call",
    [
        lambda add: add(1, 2),
        lambda add: add(a=1, b=2),
        lambda add: add(1, b=2),
        lambda add: add({"a": 1, "b": 2}),
    ],
    ids=["positional", "keywords", "mixed", "one dict"],
)
def test_arguments_have_their_names_however_they_are_passed(instrumented, tools, capture_content, call):
    assert call(tools.add) == 3

    [span] = instrumented.spans
    assert span.attributes["gen_ai.tool.call.arguments"] == '{"a":1,"b":2}'


def test_a_tool_that_overrides_its_call_is_one_span(instrumented):
    class Counting(Tool):
        name = "counting"
        description = "Counts."
        inputs: ClassVar[dict[str, Any]] = {"n": {"type": "integer", "description": "What."}}
        output_type = "integer"

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs)

        def forward(self, n: int) -> int:
            return n + 1

    assert Counting()(1) == 2
    assert [span.name for span in instrumented.spans] == ["execute_tool counting"]


def test_a_tool_that_fails_is_an_error_though_the_agent_goes_on(instrumented, serve, model, tools, outline):
    server = serve(actor=[Reply(tool_calls=[ToolCall("broken", {"text": "sorry"})]), DONE])
    agent = ToolCallingAgent(tools=[tools.broken], model=model(server, "actor"), verbosity_level=0)

    assert agent.run("Go") == "done"

    assert outline(instrumented) == [
        "invoke_agent ToolCallingAgent",
        "  run_step ToolCallingAgent !AgentToolExecutionError",
        "    chat gpt-4o-mini",
        "    execute_tool broken !LookupError",
        "  run_step ToolCallingAgent",
        "    chat gpt-4o-mini",
        "    execute_tool final_answer",
    ]
    span = instrumented.named("execute_tool broken")
    assert span.status.description == "broken: sorry"
    assert [event.name for event in span.events] == ["exception"]
    assert span.events[0].attributes["exception.message"] == "broken: sorry"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (ToolCall("unheard_of", {"x": 1}, id="call_7"), "AgentToolExecutionError"),
        (ToolCall("add", {"a": "one", "b": 2}, id="call_7"), "AgentToolCallError"),
        (ToolCall("add", {"a": 1}, id="call_7"), "AgentToolCallError"),
    ],
    ids=["unknown tool", "wrong type", "missing argument"],
)
def test_a_call_that_reaches_no_tool_is_an_error_span(
    instrumented, serve, model, tools, outline, capture_content, call, error
):
    server = serve(actor=[Reply(tool_calls=[call]), DONE])
    agent = ToolCallingAgent(
        tools=[tools.add], model=model(server, "actor"), name="thinker", verbosity_level=0
    )

    assert agent.run("Go") == "done"

    assert outline(instrumented)[1:4] == [
        f"  run_step thinker !{error}",
        "    chat gpt-4o-mini",
        f"    execute_tool {call.name} !{error}",
    ]
    attributes = dict(instrumented.named(f"execute_tool {call.name}").attributes)
    attributes.pop("gen_ai.tool.description", None)
    assert attributes == {
        "spandag.node.type": "tool",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": call.name,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_7",
        "gen_ai.agent.name": "thinker",
        "gen_ai.tool.call.arguments": call.arguments_json.replace(": ", ":").replace(", ", ","),
        "error.type": f"smolagents.utils.{error}",
    }


def test_what_a_tool_raises_reaches_its_caller_unchanged(instrumented):
    error = LookupError("mine")

    class Raising(Tool):
        name = "raising"
        description = "Raises."
        inputs: ClassVar[dict[str, Any]] = {}
        output_type = "string"

        def forward(self) -> str:
            raise error

    with pytest.raises(LookupError) as caught:
        Raising()()

    assert caught.value is error
    assert instrumented.spans[0].status.status_code is StatusCode.ERROR


def test_a_tool_that_says_that_code_is_done_has_not_failed(instrumented, serve, model, outline):
    from smolagents.local_python_executor import FinalAnswerException

    class Finishing(Tool):
        name = "finishing"
        description = "Finishes."
        inputs: ClassVar[dict[str, Any]] = {}
        output_type = "string"

        def forward(self) -> str:
            raise FinalAnswerException("done")

    server = serve(actor=["<code>\nfinishing()\n</code>"])

    assert CodeAgent(tools=[Finishing()], model=model(server, "actor"), verbosity_level=0).run("Go") == "done"
    assert outline(instrumented)[-1] == "      execute_tool finishing"


def test_an_image_is_not_written_to_a_file_to_be_recorded(instrumented, capture_content, monkeypatch):
    from PIL import Image
    from smolagents.agent_types import AgentImage

    class Painting(Tool):
        name = "painting"
        description = "Paints."
        inputs: ClassVar[dict[str, Any]] = {}
        output_type = "image"

        def forward(self) -> Any:
            return Image.new("RGB", (1, 1))

    def no_file(self: Any) -> str:
        raise AssertionError("written to a file")

    monkeypatch.setattr(AgentImage, "to_string", no_file)
    Painting()(sanitize_inputs_outputs=True)

    result = instrumented.spans[0].attributes["gen_ai.tool.call.result"]
    assert result == '{"type":"blob","modality":"image","content":""}'


def test_a_value_that_contains_itself_does_not_break(instrumented, capture_content):
    class Knot(Tool):
        name = "knot"
        description = "Ties."
        inputs: ClassVar[dict[str, Any]] = {}
        output_type = "object"

        def forward(self) -> Any:
            knot: list[Any] = []
            knot.append(knot)
            return knot

    Knot()()

    assert "gen_ai.tool.call.result" in instrumented.spans[0].attributes
