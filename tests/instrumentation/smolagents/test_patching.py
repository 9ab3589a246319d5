"""Instrumenting changes nothing that uninstrumenting does not put back, and records nothing when told not to."""

from __future__ import annotations

import gc
import inspect
import pickle
import weakref
from typing import Any, ClassVar

import pytest
import smolagents
from opentelemetry.instrumentation.utils import suppress_instrumentation
from smolagents import CodeAgent, Model, Tool, ToolCallingAgent, agents, local_python_executor, models
from smolagents.local_python_executor import PythonExecutor
from smolagents.models import (
    ChatMessage,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
)

from spandag.instrumentation.smolagents import SmolagentsInstrumentor
from spandag.testing import Reply, ToolCall

DONE = Reply(tool_calls=[ToolCall("final_answer", {"answer": "done"})])


def subclasses(base: type) -> set[type]:
    return {base}.union(*(subclasses(cls) for cls in base.__subclasses__()))


def everything() -> dict[tuple[object, str], object]:
    """Every attribute of the framework's modules and of every class that could be patched."""
    # Classes that earlier tests made die in cycles of their own.
    gc.collect()
    found: dict[tuple[object, str], object] = {}
    for module in (smolagents, agents, local_python_executor, models, smolagents.tools):
        found.update({(module.__name__, name): value for name, value in vars(module).items()})
    for base in (
        getattr(smolagents.utils, "Retrying", Tool),
        agents.MultiStepAgent,
        Model,
        Tool,
        getattr(smolagents.tools, "BaseTool", Tool),
        PythonExecutor,
    ):
        for cls in subclasses(base):
            found.update({(cls, name): value for name, value in vars(cls).items() if name[:5] != "__abs"})
    return found


def changed(before: dict[Any, object], after: dict[Any, object]) -> set[Any]:
    assert before.keys() - after.keys() == set()
    # Modules grow by what is imported from them meanwhile; classes do not.
    return {
        key for key in after if (before[key] is not after[key] if key in before else isinstance(key[0], type))
    }


def test_uninstrument_puts_back_the_identical_objects(recorder, serve, model):
    class Mine(Model):
        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            return ChatMessage(role=MessageRole.ASSISTANT, content="<code>\nfinal_answer(1)\n</code>")

    class Duck:
        model_id = "duck"

        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            return ChatMessage(role=MessageRole.ASSISTANT, content="<code>\nfinal_answer(1)\n</code>")

    before, duck_before = everything(), vars(Duck)["generate"]
    instrumentor = SmolagentsInstrumentor()
    instrumentor.instrument(tracer_provider=recorder.provider)
    while_instrumented = {
        (getattr(owner, "__name__", owner), name) for owner, name in changed(before, everything())
    }
    CodeAgent(tools=[], model=Mine(model_id="mine"), verbosity_level=0).run("Go")
    CodeAgent(tools=[], model=Duck(), verbosity_level=0).run("Go")
    instrumentor.uninstrument()

    assert {
        ("MultiStepAgent", "_run_stream"),
        ("MultiStepAgent", "_finalize_step"),
        ("MultiStepAgent", "_handle_max_steps_reached"),
        ("MultiStepAgent", "_generate_planning_step"),
        ("ToolCallingAgent", "_step_stream"),
        ("CodeAgent", "_step_stream"),
        ("ToolCallingAgent", "process_tool_calls"),
        ("ToolCallingAgent", "execute_tool_call"),
        ("Tool", "__call__"),
        ("PipelineTool", "__call__"),
        ("LocalPythonExecutor", "__call__"),
        ("RemotePythonExecutor", "__call__"),
        ("Model", "__init_subclass__"),
        ("Mine", "generate"),
        ("TransformersModel", "generate"),
        ("TransformersModel", "generate_stream"),
        ("VLLMModel", "generate"),
        ("MLXModel", "generate"),
        ("LiteLLMModel", "generate"),
        ("LiteLLMModel", "generate_stream"),
        ("InferenceClientModel", "generate"),
    } <= while_instrumented
    assert len([span for span in recorder.spans if span.name.startswith("chat")]) == 2
    assert changed(before, everything()) == set()
    assert vars(Duck)["generate"] is duck_before
    recorder.clear()
    Mine(model_id="mine").generate([])
    assert recorder.spans == []


def test_a_class_defined_while_instrumented_is_left_as_it_was_written(recorder):
    instrumentor = SmolagentsInstrumentor()
    instrumentor.instrument(tracer_provider=recorder.provider)

    def generate(self: Any, messages: Any, **kwargs: Any) -> str:
        return "mine"

    mine = type("Mine", (Model,), {"generate": generate})
    assert vars(mine)["generate"] is not generate
    instrumentor.uninstrument()

    assert vars(mine)["generate"] is generate
    assert "__init_subclass__" not in vars(Model)


def test_what_the_framework_does_when_tools_are_defined_still_happens(instrumented):
    with pytest.raises(TypeError):

        class Unfinished(Tool):
            name = "unfinished"

        Unfinished()


def test_instrumenting_twice_is_once(instrumented, serve, model):
    SmolagentsInstrumentor().instrument(tracer_provider=instrumented.provider)

    ToolCallingAgent(tools=[], model=model(serve(actor=[DONE]), "actor"), verbosity_level=0).run("Go")

    assert len(instrumented.spans) == 4


def test_instrumenting_again_works(recorder, serve, model):
    instrumentor = SmolagentsInstrumentor()
    for _ in range(2):
        instrumentor.instrument(tracer_provider=recorder.provider)
        ToolCallingAgent(tools=[], model=model(serve(actor=[DONE]), "actor"), verbosity_level=0).run("Go")
        instrumentor.uninstrument()

    assert len(recorder.spans) == 8


def test_signatures_stay_what_they_were(instrumented, tools):
    assert list(inspect.signature(ToolCallingAgent.execute_tool_call).parameters) == [
        "self",
        "tool_name",
        "arguments",
    ]
    assert "sanitize_inputs_outputs" in inspect.signature(tools.add.__call__).parameters
    assert inspect.isgeneratorfunction(ToolCallingAgent._step_stream)
    # Tools are shipped to remote interpreters as source.
    assert "return a + b" in tools.add.to_dict()["code"]


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_recorded_while_instrumentation_is_suppressed(instrumented, serve, model, tools, stream):
    server = serve(
        boss=[
            "a plan",
            Reply(
                tool_calls=[
                    ToolCall("helper", {"task": "add", "additional_args": {}}),
                    ToolCall("add", {"a": 1, "b": 2}),
                ]
            ),
            "nonsense",
            "forced",
        ],
        helper=["<code>\nfinal_answer(add(1, 2))\n</code>"],
    )
    helper = CodeAgent(
        tools=[tools.add],
        model=model(server, "helper"),
        name="helper",
        description="Helps.",
        verbosity_level=0,
    )
    boss = ToolCallingAgent(
        tools=[tools.add],
        model=model(server, "boss"),
        managed_agents=[helper],
        planning_interval=9,
        max_steps=2,
        verbosity_level=0,
    )

    with suppress_instrumentation():
        result = boss.run("Go", stream=stream)
        if stream:
            list(result)

    assert server.counted().calls == 5
    assert instrumented.spans == []


def test_a_stream_read_under_suppression_records_nothing(instrumented, serve, model):
    stream = ToolCallingAgent(tools=[], model=model(serve(actor=[DONE]), "actor"), verbosity_level=0).run(
        "Go", stream=True
    )

    with suppress_instrumentation():
        assert list(stream)[-1].output == "done"

    assert instrumented.spans == []


@pytest.mark.parametrize("kind", [CodeAgent, ToolCallingAgent])
def test_an_agent_and_its_answer_go_with_their_last_reference(instrumented, kind):
    class Answer:
        pass

    class Mine(Model):
        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            if kind is CodeAgent:
                return ChatMessage(
                    role=MessageRole.ASSISTANT, content="<code>\nfinal_answer(answer())\n</code>"
                )
            call = ChatMessageToolCall(
                id="1",
                type="function",
                function=ChatMessageToolCallFunction(name="final_answer", arguments={"answer": "answer"}),
            )
            return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])

    class MakeAnswer(Tool):
        name = "answer"
        description = "Make an answer."
        inputs: ClassVar[dict[str, Any]] = {}
        output_type = "object"

        def forward(self) -> Any:
            return Answer()

    gc.collect()
    gc.disable()
    try:
        agent = kind(tools=[MakeAnswer()], model=Mine(model_id="mine"), verbosity_level=0)
        result = agent.run("Go")
        gone = [weakref.ref(agent)] + [weakref.ref(result)] * isinstance(result, Answer)
        del agent, result
        assert [reference() for reference in gone] == [None] * (2 if kind is CodeAgent else 1)
    finally:
        gc.enable()


def test_a_model_can_be_asked_in_another_process(instrumented):
    model = pickle.loads(pickle.dumps(Model(model_id="mine").generate)).__self__

    assert (type(model), model.model_id) == (Model, "mine")
