"""What became of spans is known of each of them once."""

from __future__ import annotations

import sys
import threading

import pytest

from spandag.export import fates as fates_module
from spandag.export.fates import Fates


def test_threads_that_note_what_is_kept_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits in vain brings batches to disk while the writer brings others to the store."""
    monkeypatch.setattr(fates_module, "_REMEMBERED", 500)
    fates = Fates()
    failures: list[BaseException] = []

    def keep(thread: int) -> None:
        try:
            for number in range(2_000):
                fates.are_kept([(thread, 10 * number + each) for each in range(10)])
        except RuntimeError as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=keep, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
    assert len(fates.stored) == 500


def test_what_is_lost_again_is_counted_once_and_no_longer_when_it_is_kept() -> None:
    fates = Fates()
    for _ in range(2):
        fates.are_lost([(1, 1), (1, 2)], "there is no room")
    assert fates.dropped == 2
    fates.are_kept([(1, 1)])
    assert fates.dropped == 1


def test_what_is_left_out_is_no_loss_where_it_had_been_brought_before() -> None:
    """The live view and a batch processor bring the same spans, and the second copy may find no room."""
    fates = Fates()
    fates.are_kept([(1, 1)])
    fates.are_underway([(1, 2)])
    fates.left_out([(1, 1), (1, 2), (1, 3)], "there is no room")
    assert fates.dropped == 1
    fates.are_lost([(1, 2)], "there is no room for its rows either")
    assert fates.dropped == 2
