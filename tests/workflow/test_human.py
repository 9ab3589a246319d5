"""A person is asked, on a terminal or in another way."""

from __future__ import annotations

import asyncio
import io
import threading

import pytest

import spandag
from spandag.workflow import human


@pytest.fixture
def typed(monkeypatch):
    """Lets somebody sit at a terminal and type lines."""

    def type_in(*lines):
        terminal = io.StringIO("".join(line + "\n" for line in lines))
        terminal.isatty = lambda: True
        monkeypatch.setattr("sys.stdin", terminal)

    return type_in


@pytest.fixture
def take_back():
    """What `spandag.on` gave, called in the end."""
    undo = []
    yield undo.append
    for back in undo:
        back()


def asked(recorder):
    return next(span for span in recorder.spans if span.attributes["spandag.node.type"] == "approval")


def test_an_approval_is_a_node_with_its_answer(recorder, typed, capture_content):
    typed("continue")
    with spandag.run("report"):
        answer = spandag.ask_human("Is this plan good?")
    assert (answer.choice, answer.feedback, answer.is_redo, answer.is_abort) == (
        "continue",
        None,
        False,
        False,
    )
    span = asked(recorder)
    waited = span.attributes["spandag.approval.waited_s"]
    assert waited == pytest.approx(answer.waited_s, abs=0.001)
    assert dict(span.attributes) == {
        "spandag.node.type": "approval",
        "gen_ai.operation.name": "human_input",
        "gen_ai.agent.name": "human",
        "spandag.input": '"Is this plan good?"',
        "spandag.output": '"continue"',
        "spandag.approval.choices": ("continue", "redo", "abort"),
        "spandag.approval.choice": "continue",
        "spandag.approval.waited_s": waited,
    }
    [event] = span.events
    assert (event.name, dict(event.attributes)) == (
        "approval",
        {"spandag.approval.choice": "continue", "spandag.approval.waited_s": waited},
    )


def test_a_choice_can_be_short_and_have_a_reason(recorder, typed, capsys):
    typed("what?", "", "r use log space")
    attempts = []
    for attempt in spandag.step("fit").attempts():
        with attempt:
            attempts.append(attempt.feedback)
            if attempt.number == 1:
                answer = spandag.ask_human("Good?")
                assert answer.is_redo
                attempt.reject(answer.feedback, requested_by="human")
    assert attempts == [None, "use log space"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("Good?\n[continue/redo/abort] ") == 3
    assert said.err.count("please answer continue, redo, abort") == 2


def test_without_a_terminal_it_says_what_to_do(recorder, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("continue\n"))
    with pytest.raises(RuntimeError, match=r"no terminal to ask at; give ask_human\(…, ask=function\)"):
        spandag.ask_human("Good?")
    assert asked(recorder).attributes["error.type"] == "RuntimeError"


def test_a_terminal_that_is_closed_is_none(recorder, typed):
    typed()
    with pytest.raises(RuntimeError, match="no terminal"):
        spandag.ask_human("Good?")


def test_somebody_else_can_be_asked(recorder):
    def in_slack(prompt, choices):
        assert (prompt, choices) == ("Ship it?", ("yes", "no"))
        return "no", "the tests are red"

    answer = spandag.ask_human("Ship it?", ("yes", "no"), name="release manager", ask=in_slack)
    assert (answer.choice, answer.feedback) == ("no", "the tests are red")
    span = asked(recorder)
    assert span.name == "human_input release manager"
    assert span.attributes["spandag.approval.feedback"] == "the tests are red"


def test_all_questions_can_go_elsewhere_until_it_is_taken_back(recorder, take_back, typed):
    take_back(spandag.on("human", lambda prompt, choices: "abort"))
    back = spandag.on("human", lambda prompt, choices: "redo")
    assert spandag.ask_human("Good?").is_redo
    back()
    assert spandag.ask_human("Good?").is_abort


def test_an_answer_that_is_no_choice_is_refused(recorder):
    with pytest.raises(ValueError, match="'maybe' is none of the choices continue, redo, abort"):
        spandag.ask_human("Good?", ask=lambda prompt, choices: "maybe")


@pytest.mark.parametrize("choices", [(), "yes", ("",)])
def test_there_must_be_choices(choices):
    with pytest.raises(ValueError, match="choices are what can be answered"):
        spandag.ask_human("Good?", choices)


def test_events_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="there is no event 'lunch'; there is \"human\""):
        spandag.on("lunch", print)
    with pytest.raises(TypeError, match="takes a function"):
        spandag.on("human", "nobody")


def test_async_code_waits_without_holding_up_others(recorder):
    async def ask(prompt, choices):
        await asyncio.sleep(0.01)
        return "continue"

    async def main():
        async with spandag.run("report"):
            return await spandag.ask_human_async("Good?", ask=ask)

    assert asyncio.run(main()).choice == "continue"
    assert asked(recorder).parent.span_id == recorder.named("invoke_workflow report").context.span_id


def test_async_code_asks_others_in_a_thread(recorder):
    threads = []

    def ask(prompt, choices):
        threads.append(threading.current_thread())
        return "redo"

    assert asyncio.run(spandag.ask_human_async("Good?", ask=ask)).is_redo
    assert threads != [threading.main_thread()]


def test_what_is_asynchronous_has_to_be_awaited(recorder):
    async def ask(prompt, choices):
        return "continue"

    with pytest.raises(TypeError, match=r"await spandag\.ask_human_async"):
        spandag.ask_human("Good?", ask=ask)


def test_giving_up_while_it_waits_cancels_the_question(recorder):
    def ask(prompt, choices):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spandag.ask_human("Good?", ask=ask)
    assert asked(recorder).attributes["error.type"] == "KeyboardInterrupt"


def test_the_terminal_is_what_is_asked_by_default():
    assert human._Question("?", ("yes",), "human", None).ask is human.ask_on_terminal
