"""The code that an agent writes is a node, and what it calls is below it, whatever thread it runs in."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context
from smolagents import CodeAgent, Tool
from smolagents.local_python_executor import CodeOutput, LocalPythonExecutor
from smolagents.remote_executors import RemotePythonExecutor


def code(text: str) -> str:
    return f"Thought\n<code>\n{text}\n</code>"


def test_code_has_its_text_and_result(instrumented, serve, model, tools, capture_content):
    server = serve(actor=[code("print('hi')\nadd(1, 2)"), code("final_answer(4)")])

    CodeAgent(tools=[tools.add], model=model(server, "actor"), name="coder", verbosity_level=0).run("Go")

    first, second = [span for span in instrumented.spans if span.name == "execute_tool python_interpreter"]
    assert dict(first.attributes) == {
        "spandag.node.type": "code",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "python_interpreter",
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": "coder",
        "gen_ai.tool.call.arguments": '{"code":"print(\'hi\')\\nadd(1, 2)"}',
        "gen_ai.tool.call.result": '{"output":3,"logs":"hi\\n"}',
    }
    assert json.loads(second.attributes["gen_ai.tool.call.result"]) == {"output": 4, "logs": ""}


def test_tools_that_code_calls_are_below_it(instrumented, serve, model, tools, outline):
    server = serve(actor=[code("final_answer(add(add(1, 2), 3))")])

    assert CodeAgent(tools=[tools.add], model=model(server, "actor"), verbosity_level=0).run("Go") == 6

    assert outline(instrumented) == [
        "invoke_agent CodeAgent",
        "  run_step CodeAgent",
        "    chat gpt-4o-mini",
        "    execute_tool python_interpreter",
        "      execute_tool add",
        "      execute_tool add",
        "      execute_tool final_answer",
    ]


def test_the_interpreters_thread_has_the_whole_context(instrumented, serve, model):
    class Reading(Tool):
        name = "reading"
        description = "Reads the baggage."
        inputs: ClassVar[dict[str, Any]] = {}
        output_type = "string"

        def forward(self) -> str:
            return str(baggage.get_baggage("who"))

    server = serve(actor=[code("final_answer(reading())")])
    agent = CodeAgent(tools=[Reading()], model=model(server, "actor"), verbosity_level=0)

    token = otel_context.attach(baggage.set_baggage("who", "alice"))
    try:
        assert agent.run("Go") == "alice"
    finally:
        otel_context.detach(token)


def test_bad_code_is_an_error_though_the_agent_goes_on(
    instrumented, serve, model, tools, outline, capture_content
):
    server = serve(
        actor=[
            code("print('so far')\n1 / 0"),
            code("this is no python"),
            "no code at all",
            code("final_answer(1)"),
        ]
    )

    assert CodeAgent(tools=[], model=model(server, "actor"), name="coder", verbosity_level=0).run("Go") == 1

    assert outline(instrumented) == [
        "invoke_agent coder",
        "  run_step coder !AgentExecutionError",
        "    chat gpt-4o-mini",
        "    execute_tool python_interpreter !InterpreterError",
        "  run_step coder !AgentExecutionError",
        "    chat gpt-4o-mini",
        "    execute_tool python_interpreter !InterpreterError",
        "  run_step coder !AgentParsingError",
        "    chat gpt-4o-mini",
        "  run_step coder",
        "    chat gpt-4o-mini",
        "    execute_tool python_interpreter",
        "      execute_tool final_answer",
    ]
    failed = next(span for span in instrumented.spans if span.name == "execute_tool python_interpreter")
    assert json.loads(failed.attributes["gen_ai.tool.call.result"]) == {"logs": "so far\n"}


def test_a_tool_that_fails_in_code_is_an_error_of_its_own(instrumented, serve, model, tools, outline):
    server = serve(actor=[code("broken('sorry')"), code("final_answer(1)")])

    CodeAgent(tools=[tools.broken], model=model(server, "actor"), name="coder", verbosity_level=0).run("Go")

    assert outline(instrumented)[1:5] == [
        "  run_step coder !AgentExecutionError",
        "    chat gpt-4o-mini",
        "    execute_tool python_interpreter !InterpreterError",
        "      execute_tool broken !LookupError",
    ]


def test_code_that_takes_too_long_is_an_error(instrumented, serve, model, outline):
    if "timeout_seconds" not in LocalPythonExecutor.__init__.__code__.co_varnames:
        pytest.skip("this smolagents has no timeout")
    server = serve(actor=[code("import time\ntime.sleep(1.2)"), code("final_answer(1)")])
    agent = CodeAgent(
        tools=[],
        model=model(server, "actor"),
        name="coder",
        additional_authorized_imports=["time"],
        executor_kwargs={"timeout_seconds": 1},
        verbosity_level=0,
    )

    agent.run("Go")

    assert outline(instrumented)[3] == "    execute_tool python_interpreter !ExecutionTimeoutError"


def test_code_that_runs_elsewhere_is_a_node_too(instrumented, serve, model, outline, capture_content):
    class Elsewhere(RemotePythonExecutor):
        def run_code_raise_errors(self, code: str) -> CodeOutput:
            return CodeOutput(output="far", logs="away", is_final_answer=True)

        def send_tools(self, tools: Any) -> None:
            """Nothing runs there."""

    server = serve(actor=[code("whatever")])
    agent = CodeAgent(tools=[], model=model(server, "actor"), name="coder", verbosity_level=0)
    agent.python_executor = Elsewhere([], agent.logger)

    assert agent.run("Go") == "far"

    assert outline(instrumented)[-1] == "    execute_tool python_interpreter"
    result = instrumented.spans[-1].attributes["gen_ai.tool.call.result"]
    assert json.loads(result) == {"output": "far", "logs": "away"}


def test_an_interpreter_of_ones_own_is_a_node(instrumented, serve, model, outline):
    class Mine:
        state: ClassVar[dict[str, Any]] = {}

        def send_variables(self, variables: Any) -> None: ...

        def send_tools(self, tools: Any) -> None: ...

        def __call__(self, code_action: str) -> CodeOutput:
            return CodeOutput(output="mine", logs="", is_final_answer=True)

    server = serve(actor=[code("whatever")])
    agent = CodeAgent(tools=[], model=model(server, "actor"), name="coder", verbosity_level=0)
    agent.python_executor = Mine()

    assert agent.run("Go") == "mine"
    assert outline(instrumented)[-1] == "    execute_tool python_interpreter"
