"""What steps are counted within."""

from __future__ import annotations

import itertools
from typing import Any

from spandag.spans.node import Node


class Section(Node):
    """A run, a phase or an attempt at a step: it numbers the steps within it."""

    __slots__ = ("_numbers",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._numbers = itertools.count(1)

    def next_step_number(self) -> int:
        """The number for the next step, from 1."""
        return next(self._numbers)
