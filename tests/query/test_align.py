from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spandag.query.align import align, common

letters = st.text(alphabet="abc", max_size=12)


@given(letters, letters)
def test_what_is_paired_is_the_same_and_in_order(a: str, b: str) -> None:
    pairs = common(a, b)

    assert all(a[i] == b[j] for i, j in pairs)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))


@given(letters, letters, letters)
def test_what_both_begin_and_end_with_is_paired(a: str, added: str, b: str) -> None:
    assert len(common(a + b, a + added + b)) == len(a + b)


def test_what_is_there_once_holds_what_is_there_often() -> None:
    assert common("xxyxx", "xyxxx") == [(0, 0), (2, 1), (3, 3), (4, 4)]
    assert common("abcd", "bcda") == [(1, 0), (2, 1), (3, 2)]
    assert common("", "abc") == common("ab", "cd") == []


def test_a_second_look_pairs_what_stands_between_what_was_alike_at_first() -> None:
    assert align([["a1", "b1", "c1"], "abc"], [["a2", "b1", "c2"], "abc"]) == [(0, 0), (1, 1), (2, 2)]
    assert align([["a1", "a2"], "aa"], [["a2"], "a"]) == [(1, 0)]


def test_twenty_thousand_siblings_of_a_kind_are_paired() -> None:
    a = ["same"] * 10_000 + ["left"] + ["same"] * 10_000
    b = ["same"] * 9_000 + ["right"] + ["same"] * 11_000

    assert len(common(a, b)) == 20_000
