"""A program that is killed leaves everything in the store that had ended a second before."""

from __future__ import annotations

import pytest
from spandag_test_kill import kill


@pytest.mark.parametrize("seed", range(5))
def test_what_had_ended_a_second_before_a_kill_is_complete(store_url: str, seed: int) -> None:
    killed = kill(store_url, seed)
    assert killed.ended > 0
    assert killed.lost == 0
    # A program that has just begun may not have opened its store yet.
    assert killed.open > 0 or killed.after_s < 1
    assert killed.not_interrupted == 0
