"""What fails is an ERROR on its span, what merely ends is not, and the user's exception is untouched."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from autogen import ConversableAgent, GroupChat, GroupChatManager, register_function
from autogen.coding import LocalCommandLineCodeExecutor
from openai import BadRequestError, InternalServerError

from spandag.testing import Failure, Reply, ToolCall


def status(span: Any) -> tuple[str, str | None, str | None]:
    return span.status.status_code.name, span.attributes.get("error.type"), span.status.description


def exceptions(span: Any) -> list[tuple[Any, Any]]:
    return [
        (event.attributes["exception.type"], event.attributes["exception.message"])
        for event in span.events
        if event.name == "exception"
    ]


class Overflow(ValueError):
    pass


def overflowing(a: int, b: int) -> int:
    raise Overflow("too large")


async def a_overflowing(a: int, b: int) -> int:
    raise Overflow("too large")


@pytest.mark.parametrize("tool", [overflowing, a_overflowing])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_tools_exception_is_an_error_though_the_framework_swallows_it(
    recorder: Any, pair: Any, tool: Any, asynchronous: bool
) -> None:
    user, helper, _ = pair(tool)
    if asynchronous:
        result = asyncio.run(user.a_initiate_chat(helper, message="2 + 3?"))
    else:
        result = user.initiate_chat(helper, message="2 + 3?")
    assert result.summary == "It is Error: too large. "
    span = recorder.named("execute_tool add")
    error_type = f"{Overflow.__module__}.Overflow"
    assert status(span) == ("ERROR", error_type, "too large")
    assert exceptions(span) == [(error_type, "too large")]
    assert [s.name for s in recorder.spans if s.status.status_code.name == "ERROR"] == ["execute_tool add"]


def test_of_tools_that_run_at_the_same_time_only_the_one_that_raises_is_an_error(
    recorder: Any, pair: Any
) -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        if a < 0:
            raise Overflow("too small")
        await asyncio.sleep(0)
        return a + b

    calls = [ToolCall("add", {"a": 2, "b": 3}), ToolCall("add", {"a": -2, "b": 3})]
    user, helper, _ = pair(add, script=[Reply(tool_calls=calls), "TERMINATE"])
    asyncio.run(user.a_initiate_chat(helper, message="2 + 3 and -2 + 3?"))
    found = {
        span.attributes["gen_ai.tool.call.id"]: status(span)
        for span in recorder.spans
        if span.name == "execute_tool add"
    }
    assert found == {
        "call_helper_1_0": ("UNSET", None, None),
        "call_helper_1_1": ("ERROR", f"{Overflow.__module__}.Overflow", "too small"),
    }


def test_a_tool_that_calls_for_another_tool_of_its_agent_is_watched_alone(recorder: Any, pair: Any) -> None:
    def add(a: int, b: int) -> str:
        return str(user.execute_function({"name": "divide", "arguments": '{"a": 1}'})[1]["content"])

    def divide(a: int) -> float:
        return a / 0

    user, helper, _ = pair(add)
    register_function(divide, caller=helper, executor=user, name="divide", description="Divide.")
    user.initiate_chat(helper, message="2 + 3?")
    assert status(recorder.named("execute_tool add"))[0] == "UNSET"
    assert status(recorder.named("execute_tool divide")) == ("ERROR", "ZeroDivisionError", "division by zero")


@pytest.mark.parametrize(
    ("call", "error_type", "message"),
    [
        (ToolCall("multiply", {"a": 2}), "tool_not_found", "Function multiply not found."),
        (ToolCall("add", "{not json"), "json.decoder.JSONDecodeError", "Expecting property name"),
        (ToolCall("add", {"a": 2}), "pydantic_core._pydantic_core.ValidationError", "Field required"),
    ],
)
def test_a_call_that_no_tool_can_take_is_an_error(
    recorder: Any, pair: Any, call: ToolCall, error_type: str, message: str
) -> None:
    user, helper, _ = pair(script=[Reply(tool_calls=[call]), "TERMINATE"])
    user.initiate_chat(helper, message="2 + 3?")
    code, found, description = status(recorder.named(f"execute_tool {call.name}"))
    assert (code, found) == ("ERROR", error_type)
    assert message in str(description)


def test_an_error_of_the_server_fails_the_call_the_turn_and_the_conversation(
    recorder: Any, pair: Any
) -> None:
    user, helper, _ = pair(script=[Failure(500, "out of order")])
    with pytest.raises(InternalServerError) as raised:
        user.initiate_chat(helper, message="2 + 3?")
    assert recorder.tree() == [
        "invoke_workflow user and helper",
        "  invoke_agent helper",
        "    chat test-model",
    ]
    assert [status(span) for span in recorder.spans] == [
        ("ERROR", "openai.InternalServerError", str(raised.value))
    ] * 3
    # Recorded once, where it was raised first.
    assert [len(exceptions(span)) for span in recorder.spans] == [0, 0, 1]


def test_an_error_of_the_server_in_an_asynchronous_chat_is_the_same(recorder: Any, pair: Any) -> None:
    user, helper, _ = pair(script=[Failure(500, "out of order")])
    with pytest.raises(InternalServerError):
        asyncio.run(user.a_initiate_chat(helper, message="2 + 3?"))
    assert [status(span)[0] for span in recorder.spans] == ["ERROR"] * 3


def test_a_failed_call_has_no_tokens(recorder: Any, pair: Any, look: Any) -> None:
    user, helper, _ = pair(script=[Failure(400, "no")])
    with pytest.raises(BadRequestError):
        user.initiate_chat(helper, message="2 + 3?")
    found = look.attributes(recorder.named("chat test-model"))
    found.pop("server.port")
    assert found == {
        "error.type": "openai.BadRequestError",
        "gen_ai.agent.name": "helper",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test-model",
        "server.address": "127.0.0.1",
        "spandag.node.type": "llm",
    }


def test_a_chat_that_is_called_off_ends_its_spans(recorder: Any, pair: Any) -> None:
    started = asyncio.Event()

    async def add(a: int, b: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return a + b

    async def call_off() -> None:
        user, helper, _ = pair(add)
        task = asyncio.create_task(user.a_initiate_chat(helper, message="2 + 3?"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(call_off())
    errors = [span.name for span in recorder.spans if span.status.status_code.name == "ERROR"]
    assert errors == ["invoke_workflow user and helper", "invoke_agent user", "execute_tool add"]


def test_a_keyboard_interrupt_passes_through(recorder: Any, pair: Any) -> None:
    def add(a: int, b: int) -> int:
        raise KeyboardInterrupt

    user, helper, _ = pair(add)
    with pytest.raises(KeyboardInterrupt):
        user.initiate_chat(helper, message="2 + 3?")
    assert status(recorder.named("execute_tool add"))[:2] == ("ERROR", "KeyboardInterrupt")


def test_an_exception_before_the_agent_takes_the_floor_is_its_turns(recorder: Any, agent: Any) -> None:
    def hook(messages: Any) -> Any:
        raise LookupError("no memory")

    helper = agent("helper")
    helper.register_hook("process_all_messages_before_reply", hook)
    with pytest.raises(LookupError):
        agent("user").initiate_chat(helper, message="Go", max_turns=1)
    assert status(recorder.named("invoke_agent helper")) == ("ERROR", "LookupError", "no memory")


def test_no_eligible_speaker_is_how_a_group_chat_ends(recorder: Any, agent: Any) -> None:
    user, other = agent("user"), agent("other")
    chat = GroupChat(
        [user, other],
        [],
        max_round=5,
        allowed_or_disallowed_speaker_transitions={user: [other]},
        speaker_transitions_type="allowed",
    )
    user.initiate_chat(GroupChatManager(chat, name="table"), message="Hello")
    selections = [span for span in recorder.spans if span.name == "select_speaker table"]
    assert [span.attributes.get("ag2.speaker_selection.selected") for span in selections] == ["other", None]
    assert [(status(span)[0], exceptions(span)) for span in recorder.spans] == [("UNSET", [])] * 4


def test_a_selection_that_raises_is_an_error(recorder: Any, agent: Any) -> None:
    def choose(last: Any, chat: Any) -> Any:
        raise ZeroDivisionError("nobody left")

    user, other = agent("user"), agent("other")
    chat = GroupChat([user, other], [], max_round=5, speaker_selection_method=choose)
    with pytest.raises(ZeroDivisionError):
        user.initiate_chat(GroupChatManager(chat, name="table"), message="Hello")
    assert status(recorder.named("select_speaker table")) == ("ERROR", "ZeroDivisionError", "nobody left")


# --- code -------------------------------------------------------------------------------


def test_code_that_fails_is_an_error_with_its_exit_code(recorder: Any, agent: Any, tmp_path: Path) -> None:
    runner = agent(
        "runner", code_execution_config={"executor": LocalCommandLineCodeExecutor(work_dir=tmp_path)}
    )
    result = agent("user").initiate_chat(runner, message="```python\nraise SystemExit(3)\n```", max_turns=1)
    assert result.summary.startswith("exitcode: 3")
    span = recorder.named("execute_tool python")
    assert status(span) == ("ERROR", "nonzero_exit", "exit code 3")
    assert span.attributes["process.exit.code"] == 3


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_executor_of_the_users_own_is_seen_as_well(recorder: Any, agent: Any, asynchronous: bool) -> None:
    from autogen.coding import CodeResult, MarkdownCodeExtractor

    class Pretender:
        code_extractor = MarkdownCodeExtractor()

        def execute_code_blocks(self, code_blocks: Any) -> CodeResult:
            return CodeResult(exit_code=9, output="pretended")

        def restart(self) -> None: ...

    runner = agent("runner", code_execution_config={"executor": Pretender()})
    user = agent("user")
    if asynchronous:
        asyncio.run(user.a_initiate_chat(runner, message="```sh\nls\n```\n```python\n1\n```", max_turns=1))
    else:
        user.initiate_chat(runner, message="```sh\nls\n```\n```python\n1\n```", max_turns=1)
    assert recorder.tree() == [
        "invoke_workflow user and runner",
        "  invoke_agent runner",
        "    execute_tool sh, python",
    ]
    assert status(recorder.named("execute_tool sh, python")) == ("ERROR", "nonzero_exit", "exit code 9")


def test_code_run_the_legacy_way(recorder: Any, agent: Any, tmp_path: Path) -> None:
    runner = agent("runner", code_execution_config={"work_dir": str(tmp_path), "use_docker": False})
    agent("user").initiate_chat(runner, message="```python\nprint(6 * 7)\n```", max_turns=1)
    agent("user").initiate_chat(runner, message="```sh\nexit 4\n```", max_turns=1)
    assert status(recorder.named("execute_tool python"))[0] == "UNSET"
    assert status(recorder.named("execute_tool sh"))[0] == "ERROR"


# --- people -----------------------------------------------------------------------------


def test_a_person_who_ends_the_conversation_has_had_a_turn(
    recorder: Any, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "exit")
    agent("user").initiate_chat(agent("person", human_input_mode="ALWAYS"), message="Right?")
    assert recorder.tree() == [
        "invoke_workflow user and person",
        "  invoke_agent person",
        "    human_input person",
    ]
    assert [status(span)[0] for span in recorder.spans] == ["UNSET"] * 3


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_source_of_human_input_that_users_write_is_seen(recorder: Any, asynchronous: bool) -> None:
    class Scripted(ConversableAgent):
        def get_human_input(self, prompt: str, **kwargs: Any) -> str:
            return "Looks right."

        async def a_get_human_input(self, prompt: str, **kwargs: Any) -> str:
            return self.get_human_input(prompt, **kwargs)

    person = Scripted("person", llm_config=False, human_input_mode="ALWAYS")
    other = ConversableAgent("other", llm_config=False, human_input_mode="NEVER")
    if asynchronous:
        result = asyncio.run(other.a_initiate_chat(person, message="Right?", max_turns=1))
    else:
        result = other.initiate_chat(person, message="Right?", max_turns=1)
    assert result.summary == "Looks right."
    assert recorder.tree() == [
        "invoke_workflow other and person",
        "  invoke_agent person",
        "    human_input person",
    ]


def test_a_source_of_human_input_that_fails_is_an_error(
    recorder: Any, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: Any) -> str:
        raise EOFError("no terminal")

    monkeypatch.setattr("builtins.input", closed)
    with pytest.raises(EOFError):
        agent("user").initiate_chat(agent("person", human_input_mode="ALWAYS"), message="Right?")
    assert [status(span)[1] for span in recorder.spans] == ["EOFError"] * 3
