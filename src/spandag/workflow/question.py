"""A question to a person, and the answer."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

CONTINUE, REDO, ABORT = "continue", "redo", "abort"


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked.

    Attributes:
        prompt: The question.
        choices: What can be answered; the first one means that all is well.
        by: Who is asked, as in ``requested_by``.
    """

    prompt: str
    choices: tuple[str, ...]
    by: str = "human"

    def read(self, line: str) -> tuple[str, str | None] | None:
        """Read an answer as a person writes it.

        Args:
            line: A choice, or the beginning of one, in any case; words that follow it are the feedback.

        Returns:
            The choice and the feedback; None where it is no choice, or the beginning of several.
        """
        said = line.strip()
        whole = self._choice(said)
        if whole is not None:
            return whole, None
        for choice in sorted(self.choices, key=len, reverse=True):
            # A choice can have several words.
            if said.casefold().startswith(choice.casefold() + " "):
                return choice, said[len(choice) :].strip()
        word, _, feedback = said.partition(" ")
        found = self._choice(word.rstrip(":,"))
        return None if found is None else (found, feedback.strip() or None)

    def _choice(self, said: str) -> str | None:
        begun = [choice for choice in self.choices if said and choice.casefold().startswith(said.casefold())]
        exact = [choice for choice in begun if choice.casefold() == said.casefold()]
        found = exact or begun
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person answered. ``await`` gives the answer itself, so asynchronous code may always write it.

    Attributes:
        choice: One of the choices.
        feedback: What was said beside it.
        waited: Seconds from the question to the answer.
        by: Who answered, as in ``requested_by``.
    """

    choice: str
    feedback: str | None = None
    waited: float = 0.0
    by: str = "human"

    @property
    def accepted(self) -> bool:
        """Whether the choice is ``continue``."""
        return self.choice == CONTINUE

    @property
    def rejected(self) -> bool:
        """Whether the choice is ``redo``."""
        return self.choice == REDO

    @property
    def aborted(self) -> bool:
        """Whether the choice is ``abort``."""
        return self.choice == ABORT

    def __await__(self) -> Generator[Any, Any, Answer]:
        return self
        yield  # what makes this a generator, which never waits


def checked_choices(choices: Iterable[str]) -> tuple[str, ...]:
    """The choices of a question.

    Raises:
        TypeError: They are no texts.
        ValueError: There is none, or one is there twice or empty.
    """
    if isinstance(choices, str):
        raise TypeError(f"choices are several texts, such as ({choices!r}, 'abort'), not one")
    checked = tuple(choices)
    for choice in checked:
        if not isinstance(choice, str):
            raise TypeError(f"a choice is a text, not {choice!r}")
    if not checked or not all(choice.strip() for choice in checked):
        raise ValueError("ask_human needs at least one choice, and none that is empty")
    if len({choice.strip().casefold() for choice in checked}) < len(checked):
        raise ValueError(f"the choices cannot be told apart: {', '.join(checked)}")
    return tuple(choice.strip() for choice in checked)
