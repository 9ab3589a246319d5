"""People who are asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

import spandag


def test_what_was_asked_chosen_and_said_is_an_approval(recorder, capture_content):
    def ask(question):
        assert (question.prompt, question.choices) == ("Go on?", ("continue", "redo", "abort"))
        assert spandag.current().type == "approval"
        return "redo", "try a power law"

    with spandag.run("report"), spandag.step("fit"):
        answer = spandag.ask_human("Go on?", ask=ask)
        assert spandag.current().type == "step"

    assert (answer.choice, answer.feedback, answer.by) == ("redo", "try a power law", "human")
    assert (answer.accepted, answer.rejected, answer.aborted) == (False, True, False)
    assert recorder.tree() == ["invoke_workflow report", "  run_step fit", "    human_input human"]
    span = recorder.named("human_input human")
    waited = span.attributes["spandag.approval.waited"]
    assert waited == answer.waited >= 0
    assert dict(span.attributes) == {
        "spandag.node.type": "approval",
        "gen_ai.operation.name": "human_input",
        "gen_ai.agent.name": "human",
        "spandag.approval.choices": ("continue", "redo", "abort"),
        "spandag.approval.choice": "redo",
        "spandag.approval.feedback": "try a power law",
        "spandag.approval.waited": waited,
        "spandag.input": '"Go on?"',
        "spandag.output": '"redo: try a power law"',
    }
    [event] = span.events
    assert (event.name, dict(event.attributes)) == (
        "approval",
        {
            "spandag.approval.choice": "redo",
            "spandag.approval.feedback": "try a power law",
            "spandag.approval.waited": waited,
        },
    )


def test_a_review_by_a_person_reads_well_and_redoes_the_step(stored):
    replies = iter([("redo", "fit in log space"), "continue"])
    with spandag.run("report"), spandag.phase("control"):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                answer = spandag.ask_human("Good?", by="ann", ask=lambda question: next(replies))
                if answer.choice == "redo":
                    attempt.reject(answer.feedback, requested_by=answer.by)
    first, second = stored.nodes("approval")
    assert [node["name"] for node in (first, second)] == ["ann", "ann"]
    assert [node["parent_node_id"] for node in (first, second)] == [n["id"] for n in stored.nodes("step")]
    assert [node["disposition"] for node in (first, second)] == ["superseded", "active"]
    [branch] = stored.rows("branches")
    assert (branch["hypothesis"], branch["requested_by"], branch["status"]) == (
        "fit in log space",
        "ann",
        "accepted",
    )
    approvals = [row for row in stored.rows("execution_events") if row["event_type"] == "approval"]
    assert sorted(row["node_id"] for row in approvals) == sorted([first["id"], second["id"]])
    told = stored.ask("SELECT event_type, event_subtype FROM v_events WHERE event_type = 'approval'")
    assert len(told) == 6  # start and end of each, and each one's own event


def test_the_question_is_content_and_the_feedback_is_not(recorder):
    spandag.ask_human("secret plans, go on?", ask=lambda question: ("abort", "not now"))
    [span] = recorder.spans
    assert "spandag.input" not in span.attributes
    assert "spandag.output" not in span.attributes
    assert span.attributes["spandag.approval.feedback"] == "not now"


@pytest.mark.parametrize(
    ("reply", "choice", "feedback"),
    [
        ("continue", "continue", None),
        ("C", "continue", None),
        ("redo try a power law", "redo", "try a power law"),
        ("r: try a power law", "redo", "try a power law"),
        (("redo", None), "redo", None),
        (("redo", ""), "redo", None),
        (("ab", "enough"), "abort", "enough"),
        (spandag.Answer("redo", "more"), "redo", "more"),
    ],
)
def test_what_a_function_may_answer(reply, choice, feedback):
    answer = spandag.ask_human("Go on?", ask=lambda question: reply)
    assert (answer.choice, answer.feedback) == (choice, feedback)


def test_choices_of_several_words_and_common_beginnings_are_told_apart():
    def choice(line):
        return spandag.ask_human("?", choices=("go", "go on", "stop"), ask=lambda question: line).choice

    assert [choice("go"), choice("go on"), choice("go on then"), choice("s")] == [
        "go",
        "go on",
        "go on",
        "stop",
    ]


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        ("maybe", ValueError, "'maybe' is none of: continue, redo, abort"),
        ("", ValueError, "is none of"),
        (None, TypeError, "a choice and a feedback, and not None"),
        (("redo", 7), TypeError, "not"),
    ],
)
def test_an_answer_that_is_none_is_refused_and_fails_the_node(recorder, reply, error, message):
    with pytest.raises(error, match=message):
        spandag.ask_human("Go on?", ask=lambda question: reply)
    [span] = recorder.spans
    assert span.attributes["error.type"] == error.__name__
    assert "spandag.approval.waited" in span.attributes


@pytest.mark.parametrize(
    ("misuse", "error", "message"),
    [
        (lambda: spandag.ask_human(""), TypeError, "needs a question, as in"),
        (lambda: spandag.ask_human("?", choices=()), ValueError, "at least one choice"),
        (lambda: spandag.ask_human("?", choices="yes"), TypeError, "several texts"),
        (lambda: spandag.ask_human("?", choices=("yes", 1)), TypeError, "a choice is a text"),
        (lambda: spandag.ask_human("?", choices=("yes", "Yes")), ValueError, "told apart"),
        (lambda: spandag.on("humans", print), ValueError, "knows no event 'humans', only: 'human'"),
        (lambda: spandag.on("human", "me"), TypeError, "takes a function"),
    ],
)
def test_misuse_is_refused_before_anybody_is_asked(recorder, misuse, error, message):
    with pytest.raises(error, match=message):
        misuse()
    assert recorder.spans == []


@pytest.fixture
def no_terminal(monkeypatch):
    """The tests themselves may be run on one."""
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


def test_who_answers_can_be_plugged_in_for_the_whole_program(no_terminal):
    undo = spandag.on("human", lambda question: "abort")
    try:
        assert spandag.ask_human("Go on?").choice == "abort"
        with spandag.on("human", lambda question: "redo"):
            assert spandag.ask_human("Go on?").choice == "redo"
            assert spandag.ask_human("Go on?", ask=lambda question: "continue").choice == "continue"
        assert spandag.ask_human("Go on?").choice == "abort"
    finally:
        undo()
        undo()
    with pytest.raises(RuntimeError, match="standard input is not a terminal"):
        spandag.ask_human("Go on?")


def test_a_decorator_plugs_in_too():
    from spandag.workflow import hooks

    @spandag.on("human")
    def answer(question):
        return "redo", "more"

    try:
        assert spandag.ask_human("Go on?").feedback == "more"
        assert answer(None) == ("redo", "more")
    finally:
        hooks._registered["human"].clear()


def test_an_asynchronous_answer_is_awaited_within_the_node(recorder):
    async def ask(question):
        await asyncio.sleep(0.01)
        with spandag.tool("look it up"):
            pass
        return "redo", "more"

    async def main():
        with spandag.run("report"):
            waiting = spandag.ask_human("Go on?", ask=ask)
            assert spandag.current().type == "run"
            answer = await waiting
            assert spandag.current().type == "run"
            # Whoever answers, asynchronous code may write `await`.
            again = await spandag.ask_human("Go on?", ask=lambda question: "continue")
        return answer, again

    answer, again = asyncio.run(main())
    assert (answer.choice, again.choice) == ("redo", "continue")
    assert answer.waited >= 0.009
    assert recorder.tree() == [
        "invoke_workflow report",
        "  human_input human",
        "    execute_tool look it up",
        "  human_input human",
    ]


def test_a_question_that_takes_too_long_is_cancelled(recorder):
    async def ask(question):
        await asyncio.sleep(60)

    async def main():
        async with asyncio.timeout(0.01):
            await spandag.ask_human("Go on?", ask=ask)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    [span] = recorder.spans
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"
    assert span.attributes["spandag.approval.waited"] >= 0.009


def test_a_question_that_is_interrupted_is_cancelled_and_the_interrupt_goes_on(stored):
    def ask(question):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), spandag.run("report"):
        spandag.ask_human("Go on?", ask=ask)
    [node] = stored.nodes("approval")
    assert node["status"] == "cancelled"


def test_without_a_terminal_it_says_how_to_plug_in_who_answers():
    done = subprocess.run(
        [sys.executable, "-c", "import spandag; spandag.ask_human('Go on?')"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        "RuntimeError: ask_human asks on the terminal, and standard input is not a terminal: "
        "give ask=function, or spandag.on('human', function) for the whole program" in done.stderr
    )


class Terminal:
    """A program on a terminal of its own, and what it has shown there."""

    def __init__(self, program: str) -> None:
        self._ours, theirs = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        os.close(theirs)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self._ours], [], [], 1)[0]:
                try:
                    self.shown += os.read(self._ours, 4096).decode()
                except OSError as gone:
                    raise AssertionError(self.shown) from gone

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def close(self) -> tuple[int, str]:
        printed, _ = self.process.communicate(timeout=60)
        with contextlib.suppress(OSError):
            while rest := os.read(self._ours, 4096):
                self.shown += rest.decode()
        os.close(self._ours)
        return self.process.returncode, printed


ASKING = "import spandag\nanswer = spandag.ask_human({prompt!r}, **{options})\nprint(answer.choice, answer.feedback)"


@pytest.fixture
def terminal():
    started: list[Terminal] = []

    def start(prompt="Go on?", **options):
        started.append(Terminal(ASKING.format(prompt=prompt, options=options)))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def test_on_a_terminal_the_beginning_of_a_choice_is_enough(terminal):
    program = terminal()
    program.wait_for("Go on?\r\n[continue / redo / abort] ")
    program.type("c\n")
    assert program.close() == (0, "continue None\n")


def test_on_a_terminal_nonsense_is_asked_again_and_a_redo_is_asked_for_its_reason(terminal):
    program = terminal()
    program.wait_for("[continue / redo / abort] ")
    program.type("perhaps\n")
    program.wait_for("Please answer with one of: continue, redo, abort. ")
    program.type("\n")
    program.wait_for("abort. \r\nPlease answer with one of: continue, redo, abort. ")
    program.type("Re\n")
    program.wait_for("redo: why, or what instead? (Enter for nothing) ")
    program.type("fit in log space\n")
    assert program.close() == (0, "redo fit in log space\n")


def test_on_a_terminal_the_reason_can_stand_beside_the_choice(terminal):
    program = terminal()
    program.wait_for("abort] ")
    program.type("redo fit in log space\n")
    assert program.close() == (0, "redo fit in log space\n")


def test_on_a_terminal_own_choices_are_shown(terminal):
    program = terminal(choices=("publish", "hold back"))
    program.wait_for("[publish / hold back] ")
    program.type("h\n")
    program.wait_for("hold back: why")
    program.type("\n")
    assert program.close() == (0, "hold back None\n")


def test_what_a_prompt_quotes_does_not_control_the_terminal(terminal):
    program = terminal("it said \x1b[2J\r\x00\u202eand\nmore")
    program.wait_for("abort] ")
    program.type("c\n")
    program.close()
    assert "\x1b" not in program.shown
    assert "\u202e" not in program.shown
    assert "and\r\nmore" in program.shown


def test_the_end_of_the_input_says_how_to_plug_in_who_answers(terminal):
    program = terminal()
    program.wait_for("abort] ")
    program.type("\x04")
    status, printed = program.close()
    assert (status, printed) == (1, "")
    assert "its input has ended: give ask=function" in program.shown


def test_an_interrupt_on_the_terminal_ends_the_program(terminal):
    program = terminal()
    program.wait_for("abort] ")
    program.process.send_signal(signal.SIGINT)
    status, _ = program.close()
    assert status in (-signal.SIGINT, 130, 1)
    assert "KeyboardInterrupt" in program.shown


def test_questions_of_threads_come_one_after_the_other():
    """The terminal has one keyboard."""
    program = Terminal(
        "import spandag, threading\n"
        # In one piece: `print` writes several, and those of the other thread can come between them.
        "def ask(n): print(f'{n} {spandag.ask_human(f\"Question {n}\").choice}\\n', end='')\n"
        "threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 2)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    try:
        program.wait_for("abort] ")
        program.type("redo because\n")
        program.wait_for("because\r\nQuestion")
        program.wait_for("abort] ")
        program.type("abort because\n")
        status, printed = program.close()
    finally:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()
    assert status == 0
    assert sorted(line.split()[1] for line in printed.splitlines()) == ["abort", "redo"]


def test_a_question_in_a_thread_with_the_context_is_in_its_place(recorder):
    async def main():
        with spandag.run("report"), spandag.step("fit"):
            return await asyncio.to_thread(
                spandag.ask_human,
                "Go on?",
                ask=lambda question: threading.current_thread().name and "continue",
            )

    assert asyncio.run(main()).choice == "continue"
    assert recorder.tree() == ["invoke_workflow report", "  run_step fit", "    human_input human"]
