"""A file of text, line by line: compressed or not, from a path or from standard input."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

STDIN = "-"

_GZIP = b"\x1f\x8b"
_SQLITE = b"SQLite format 3\x00"
_BOM = "\ufeff"
_MOST_SHOWN = 60


class ImportFileError(ValueError):
    """A file cannot be imported; the message is one line and says why, and where."""


def shown(value: Any) -> str:
    """What a file says, for a message of one line: not all of it, and nothing that controls a terminal."""
    text = repr(value if isinstance(value, int | float | str) or value is None else json.dumps(value))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


class Lines:
    """A file that can be read more than once.

    Attributes:
        label: How messages name it.
    """

    def __init__(self, label: str, file: IO[bytes]) -> None:
        self.label = label
        self._file = file

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Every line that is not empty, with its number from 1.

        Raises:
            ImportFileError: It is no text, or cannot be read.
        """
        number = 0
        try:
            for number, raw in enumerate(self._plain(), 1):
                line = raw.decode("utf-8").strip()
                if number == 1:
                    line = line.removeprefix(_BOM)
                if line:
                    yield number, line
        except UnicodeDecodeError as error:
            raise self.problem("it is no text in UTF-8", number) from error
        except (OSError, EOFError, zlib.error) as error:
            raise self.problem(f"it cannot be read on ({error})", number + 1) from error

    def text(self) -> str:
        """The whole text."""
        return "\n".join(line for _, line in self.numbered())

    def problem(self, what: str, number: int | None = None) -> ImportFileError:
        """What is wrong with the file, at a line of it."""
        where = "" if number is None else f", line {number}"
        return ImportFileError(f"{self.label}{where}: {what}")

    def parsed(self, line: str, number: int) -> Any:
        """The JSON of a line.

        Raises:
            ImportFileError: It is none.
        """
        try:
            return json.loads(line)
        except ValueError as error:
            raise self.problem(f"it is not whole JSON ({error})", number) from error
        except RecursionError as error:
            raise self.problem("its JSON is nested too deeply", number) from error

    def _plain(self) -> IO[bytes]:
        self._file.seek(0)
        start = self._file.read(len(_SQLITE))
        self._file.seek(0)
        if start == _SQLITE:
            raise self.problem("it is a database; one of CMBAgent is imported with --cmbagent")
        return gzip.open(self._file) if start.startswith(_GZIP) else self._file  # type: ignore[return-value]


@contextmanager
def opened(name: str, stdin: IO[bytes]) -> Iterator[Lines]:
    """Open a file.

    Args:
        name: Its path, or `STDIN`.
        stdin: What `STDIN` stands for; it is copied, so that it can be read twice.

    Raises:
        ImportFileError: There is none, or it cannot be read.
    """
    if name == STDIN:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stdin, copy)
            yield Lines("standard input", copy)
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(name).open("rb"))
        except OSError as error:
            raise ImportFileError(f"{name}: {error.strerror or error}") from error
        yield Lines(name, file)
