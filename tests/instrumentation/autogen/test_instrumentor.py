"""Installing and removing the hooks."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

import autogen
import pytest
from autogen import ConversableAgent, GroupChat, OpenAIWrapper
from autogen.coding import LocalCommandLineCodeExecutor
from autogen.oai.client import OpenAIClient
from opentelemetry.instrumentation.utils import suppress_instrumentation

from spandag.instrumentation.autogen import AG2ClassicInstrumentor


def everything() -> dict[tuple[str, str], Any]:
    """Every attribute of the framework's modules and of the classes that have hooks."""
    owners: dict[str, Any] = {
        name: module for name, module in sys.modules.items() if name.split(".")[0] == "autogen"
    }
    for base in (ConversableAgent, GroupChat, OpenAIWrapper, OpenAIClient, LocalCommandLineCodeExecutor):
        for cls in (base, *base.__subclasses__()):
            owners[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return {(name, key): value for name, owner in owners.items() for key, value in vars(owner).items()}


def changed(before: dict[Any, Any], after: dict[Any, Any]) -> set[Any]:
    keys = before.keys() | after.keys()
    return {key for key in keys if before.get(key, keys) is not after.get(key, keys)}


def test_uninstrumenting_restores_the_identical_objects(
    pair: Any, instrumented: AG2ClassicInstrumentor, recorder: Any
) -> None:
    instrumented.uninstrument()
    before = everything()
    instrumented.instrument(tracer_provider=recorder.provider)
    hooked = {key[1] for key in changed(before, everything())}
    assert hooked >= {"generate_reply", "initiate_chat", "execute_function", "select_speaker", "create"}
    # Classes covered when they are first used are restored as well.
    user, helper, _ = pair()
    user.initiate_chat(helper, message="2 + 3?")
    instrumented.uninstrument()
    after = everything()
    # What the framework imports meanwhile is new, not changed.
    assert {key for key in changed(before, after) if key in before} == set()
    assert autogen.agentchat.conversable_agent.threading is threading  # type: ignore[attr-defined]


def test_after_uninstrumenting_agents_built_meanwhile_work_and_are_not_traced(
    pair: Any, instrumented: AG2ClassicInstrumentor, recorder: Any
) -> None:
    user, helper, _ = pair()
    instrumented.uninstrument()
    assert user.initiate_chat(helper, message="2 + 3?").summary == "It is 5. "
    assert recorder.spans == () if isinstance(recorder.spans, tuple) else recorder.spans == []


def test_instrumenting_twice_is_once(
    pair: Any, instrumented: AG2ClassicInstrumentor, recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "spandag"):
        instrumented.instrument(tracer_provider=recorder.provider)
        AG2ClassicInstrumentor().instrument(tracer_provider=recorder.provider)
    assert [record.getMessage() for record in caplog.records if record.name == "spandag"] == [
        "spandag: autogen hooks are already installed"
    ]
    user, helper, server = pair()
    user.initiate_chat(helper, message="2 + 3?")
    assert len([span for span in recorder.spans if span.name == "chat test-model"]) == server.counted().calls


def test_nothing_is_traced_while_instrumentation_is_suppressed(pair: Any, recorder: Any) -> None:
    user, helper, _ = pair()
    with suppress_instrumentation():
        result = user.initiate_chat(helper, message="2 + 3?")
    assert result.summary == "It is 5. "
    assert recorder.spans == []


def test_a_version_that_is_not_supported_is_left_alone(
    instrumented: AG2ClassicInstrumentor, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrumented.uninstrument()
    before = everything()
    monkeypatch.setattr(autogen, "__version__", "0.15.0")
    instrumented.instrument(tracer_provider=recorder.provider)
    assert {key for key in changed(before, everything()) if key[1] != "__version__"} == set()


def test_a_failure_of_ours_does_not_reach_the_user(
    pair: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANDAG_STRICT", "0")
    from spandag.instrumentation.autogen import conversation, model, tool, turn

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ours")

    for module, name in (
        (conversation, "start_conversation"),
        (turn, "start_agent"),
        (model, "start_chat"),
        (tool, "start_tool"),
    ):
        monkeypatch.setattr(module, name, broken)
    user, helper, _ = pair()
    assert user.initiate_chat(helper, message="2 + 3?").summary == "It is 5. "
    assert recorder.spans == []
