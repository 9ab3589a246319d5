"""Files of runs into a store: what `spandag export` writes, and OTLP JSON of anybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from opentelemetry.sdk.trace import ReadableSpan

from spandag.export.project import project
from spandag.importers import jsonl
from spandag.importers.imported import Imported
from spandag.importers.lines import ImportFileError, Lines, opened
from spandag.importers.otlp_json import SIGNALS, NotOtlpError, spans_of
from spandag.query.export_jsonl import FORMAT
from spandag.query.export_otlp import FIRST_LINE, LAST_LINE
from spandag.query.resolve import SHORT_ID
from spandag.store import Writer
from spandag.store.rows import Batch

JSONL = "jsonl"
OTLP_JSON = "otlp-json"

_AT_ONCE = 1000
_FIRST_OF_OURS = f'{{"format":"{FORMAT}"'
_SHOWN = 3

Batches = Callable[[], Iterator[Batch]]


@dataclass
class ImportedFile(Imported):
    """What an import of a file read and wrote.

    Attributes:
        format: `JSONL` or `OTLP_JSON`.
        run_ids: Its runs.
    """

    format: str = JSONL
    run_ids: list[str] = field(default_factory=list)


def import_file(
    name: str,
    store: str,
    *,
    stdin: IO[bytes],
    restore: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportedFile:
    """Copy the runs of a file into a store; importing it again changes nothing.

    The file is read twice, so that nothing is written of one that is broken somewhere.

    Args:
        name: Its path, or ``-`` for standard input.
        store: SQLAlchemy URL of the store; created where it is missing.
        stdin: Standard input.
        restore: Whether runs that were removed from the store come back.
        progress: Called with how many nodes have been written, and how many there are.

    Raises:
        ImportFileError: It cannot be read, is of no known format, or has runs that were removed.
        StoreError: The store cannot be written.
    """
    with opened(name, stdin) as lines:
        kind, batches = _recognised(lines)
        run_ids: set[str] = set()
        nodes = 0
        for batch in batches():
            run_ids |= batch.run_ids
            nodes += len(batch.dag_nodes)
        if not run_ids:
            raise lines.problem("there are no spans in it")
        imported = ImportedFile(lines.label, format=kind, run_ids=sorted(run_ids), runs=len(run_ids))
        writer = Writer(store)
        try:
            _admit(writer, lines, run_ids, restore)
            seen: set[int] = set()
            written = 0
            for batch in batches():
                writer.write(batch, derive=False)
                written += len(batch.dag_nodes)
                imported.count(batch, seen)
                if progress is not None:
                    progress(written, nodes)
            for run_id in sorted(run_ids):
                writer.settle(run_id)
        finally:
            writer.close()
    return imported


def _admit(writer: Writer, lines: Lines, run_ids: set[str], restore: bool) -> None:
    removed = sorted(writer.removed(run_ids))
    if not removed:
        return
    if restore:
        writer.readmit(removed)
        return
    shown = ", ".join(run_id[:SHORT_ID] for run_id in removed[:_SHOWN])
    more = ", …" if len(removed) > _SHOWN else ""
    which, them = ("run", "it") if len(removed) == 1 else ("runs", "them")
    raise lines.problem(
        f"{which} {shown}{more} had been removed from this store; to bring {them} back, add --restore"
    )


def _recognised(lines: Lines) -> tuple[str, Batches]:
    """The format of a file by what is in it, and its batches."""
    number, first = next(lines.numbered(), (0, ""))
    if not first:
        raise lines.problem("it is empty")
    if first.replace(" ", "") == FIRST_LINE:
        return OTLP_JSON, lambda: _projected(_spans(lines, _items_as_exported(lines)))
    try:
        said = json.loads(first)
    except (ValueError, RecursionError) as error:
        if _is_like_ours(first):
            raise lines.problem(f"it is not whole JSON ({error})", number) from error
        said = _whole(lines)
        document = said
        return OTLP_JSON, lambda: _projected(_spans(lines, _items(lines, document, None)))
    if isinstance(said, dict) and "format" in said:
        return JSONL, lambda: jsonl.batches_of(lines)
    _require_otlp(lines, said, number)
    return OTLP_JSON, lambda: _projected(_spans(lines, _items_of_lines(lines)))


def _is_like_ours(first: str) -> bool:
    """Whether a first line that is no JSON starts as one of JSON lines does, or stops before that."""
    start = first.replace(" ", "")[: len(_FIRST_OF_OURS)]
    return len(start) > len('{"') and _FIRST_OF_OURS.startswith(start)


def _whole(lines: Lines) -> Any:
    """A document of several lines."""
    text = lines.text()
    try:
        said = json.loads(text)
    except ValueError as error:
        raise lines.problem(
            f"it is neither OTLP JSON nor JSON lines of spandag ({error})",
            getattr(error, "lineno", None),
        ) from error
    except RecursionError as error:
        raise lines.problem("its JSON is nested too deeply") from error
    _require_otlp(lines, said, None)
    return said


def _require_otlp(lines: Lines, said: Any, number: int | None) -> None:
    if isinstance(said, dict):
        if any(signal in said for signal in SIGNALS):
            return
        if "data" in said:
            raise lines.problem(
                "it is JSON of Jaeger's own, which says less than the spans did; OTLP JSON can be imported"
            )
    raise lines.problem("it is neither OTLP JSON nor JSON lines of spandag", number)


Item = tuple[Any, int | None]
"""An item of ``resourceSpans``, and the line that it is on."""


def _items_as_exported(lines: Lines) -> Iterator[Item]:
    number, ended = 0, False
    for number, line in lines.numbered():
        if ended:
            raise lines.problem("something follows the end of the document", number)
        if number == 1:
            continue
        if line == LAST_LINE:
            ended = True
            continue
        yield lines.parsed(line.removesuffix(","), number), number
    if not ended:
        raise lines.problem("it breaks off: the end of the document is missing", number + 1)


def _items_of_lines(lines: Lines) -> Iterator[Item]:
    """Of a document on each line, as a Collector writes them."""
    for number, line in lines.numbered():
        said = lines.parsed(line, number)
        _require_otlp(lines, said, number)
        yield from _items(lines, said, number)


def _items(lines: Lines, document: Any, number: int | None) -> Iterator[Item]:
    items = document.get("resourceSpans") or ()
    if not isinstance(items, list | tuple):
        raise lines.problem("resourceSpans is no list", number)
    for item in items:
        yield item, number


def _spans(lines: Lines, items: Iterator[Item]) -> Iterator[ReadableSpan]:
    for item, number in items:
        try:
            yield from spans_of(item)
        except NotOtlpError as error:
            raise lines.problem(f"it is not as OTLP says: {error}", number) from error


def _projected(spans: Iterator[ReadableSpan]) -> Iterator[Batch]:
    some: list[ReadableSpan] = []
    for span in spans:
        some.append(span)
        if len(some) >= _AT_ONCE:
            yield project(some)
            some = []
    if some:
        yield project(some)


__all__ = ["JSONL", "OTLP_JSON", "ImportFileError", "ImportedFile", "import_file"]
