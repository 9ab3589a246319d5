"""Several write to a store at once: each waits for whom it has to wait, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from spandag_test_databases import Tables

from spandag.export.project import project
from spandag.store import RunRows, Writer, settling
from spandag.store.derive import Derived

ReadTables = Callable[[str], Tables]


def test_facts_that_arrive_during_a_derivation_are_derived_too(
    new_store_url: Callable[[], str],
    redone_run: list[ReadableSpan],
    read_tables: ReadTables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another writer has them, which leaves them to who derives: what was thought before must not stand."""
    url, url_of_whole = new_store_url(), new_store_url()
    at_once, writer, latecomer = Writer(url_of_whole), Writer(url), Writer(url)
    late = [redone_run[3]]
    derive = settling.derive

    def derive_slowly(rows: RunRows) -> Derived:
        derived = derive(rows)
        if late:
            latecomer.write(project([late.pop()]), derive=False)
        return derived

    at_once.write(project(redone_run))
    monkeypatch.setattr(settling, "derive", derive_slowly)
    writer.write(project([span for span in redone_run if span is not redone_run[3]]))

    assert late == []
    # Nothing says any more that there is something to be derived, so all of it must be there.
    assert writer.settle() == 0
    assert read_tables(url) == read_tables(url_of_whole)
    for done in (at_once, writer, latecomer):
        done.close()
