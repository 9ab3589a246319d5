"""A question on the terminal that the program was started from."""

from __future__ import annotations

import re
import sys
import threading

from spandag.workflow.question import Question

# Prompts quote what models have written: nothing in them may control the terminal.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# One question after the other, whoever asks.
_turn = threading.Lock()

_ADVICE = (
    "ask_human asks on the terminal, and {why}: give ask=function, or spandag.on('human', function) for the "
    "whole program; it takes the question and returns a choice or (choice, feedback)"
)


def ask_on_terminal(question: Question) -> tuple[str, str | None]:
    """Ask until the answer is one of the choices; any but the first one is asked for its reason.

    Raises:
        RuntimeError: There is no terminal to ask on, or its input has ended.
    """
    stdin = sys.stdin
    if stdin is None or stdin.closed or not stdin.isatty():
        raise RuntimeError(_ADVICE.format(why="standard input is not a terminal"))
    with _turn:
        _show(f"{question.prompt}\n[{' / '.join(question.choices)}] ")
        while (answer := question.read(_line())) is None:
            _show(f"Please answer with one of: {', '.join(question.choices)}. ")
        choice, feedback = answer
        if feedback is None and choice != question.choices[0]:
            _show(f"{choice}: why, or what instead? (Enter for nothing) ")
            feedback = _line().strip() or None
        return choice, feedback


def _line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise RuntimeError(_ADVICE.format(why="its input has ended"))
    return line


def _show(text: str) -> None:
    # Standard output belongs to the program.
    sys.stderr.write(_UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text))
    sys.stderr.flush()
