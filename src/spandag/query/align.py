"""Which of two sequences' items belong together? In about linear time, whatever is in them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence

Pairs = list[tuple[int, int]]
"""Places in both sequences, both growing."""


def common(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs:
    """A long common subsequence.

    Not always the longest: that would take quadratic time, and a run can have thousands of siblings.
    What both begin and end with belongs together; between, what is there once on both sides; between
    that, the first with the first of its kind, the second with the second.
    """
    start, end_a, end_b = 0, len(a), len(b)
    while start < end_a and start < end_b and a[start] == b[start]:
        start += 1
    tail: Pairs = []
    while end_a > start and end_b > start and a[end_a - 1] == b[end_b - 1]:
        end_a, end_b = end_a - 1, end_b - 1
        tail.append((end_a, end_b))
    head = [(i, i) for i in range(start)]
    middle = _middle(a, b, (start, end_a), (start, end_b)) if start < end_a and start < end_b else []
    return head + middle + tail[::-1]


def _middle(
    a: Sequence[Hashable], b: Sequence[Hashable], in_a: tuple[int, int], in_b: tuple[int, int]
) -> Pairs:
    count_a, count_b = Counter(a[slice(*in_a)]), Counter(b[slice(*in_b)])
    places = {b[j]: j for j in range(*in_b) if count_b[b[j]] == 1}
    once = [(i, places[a[i]]) for i in range(*in_a) if count_a[a[i]] == 1 and a[i] in places]
    result: Pairs = []
    before_a, before_b = in_a[0], in_b[0]
    for i, j in [*_growing(once), (in_a[1], in_b[1])]:
        if before_a < i and before_b < j:
            result += _nth_with_nth(a, b, (before_a, i), (before_b, j))
        result.append((i, j))
        before_a, before_b = i + 1, j + 1
    result.pop()
    return result


def _nth_with_nth(
    a: Sequence[Hashable], b: Sequence[Hashable], in_a: tuple[int, int], in_b: tuple[int, int]
) -> Pairs:
    seen: Counter[Hashable] = Counter()
    places: dict[tuple[Hashable, int], int] = {}
    for j in range(*in_b):
        places[b[j], seen[b[j]]] = j
        seen[b[j]] += 1
    seen.clear()
    found: Pairs = []
    for i in range(*in_a):
        place = places.get((a[i], seen[a[i]]))
        seen[a[i]] += 1
        if place is not None:
            found.append((i, place))
    return _growing(found)


def _growing(pairs: Pairs) -> Pairs:
    """The longest part of pairs, in order of their first place, whose second places grow as well."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j)
        if length == len(ends):
            ends.append(j)
            last.append(index)
        else:
            ends[length] = j
            last[length] = index
        before.append(last[length - 1] if length else -1)
    result: Pairs = []
    at = last[-1] if last else -1
    while at >= 0:
        result.append(pairs[at])
        at = before[at]
    return result[::-1]


def align(a: Sequence[Sequence[Hashable]], b: Sequence[Sequence[Hashable]]) -> Pairs:
    """Pair items that are alike at first sight, then what is between them that is alike at a second one.

    Args:
        a: For each way to look at them, the strictest first, what one sees of the items of the one sequence.
        b: The same of the other sequence.
    """
    result: Pairs = []
    to_do = [(0, (0, len(a[0])), (0, len(b[0])))]
    while to_do:
        look, in_a, in_b = to_do.pop()
        found = common(a[look][slice(*in_a)], b[look][slice(*in_b)])
        before_a, before_b = in_a[0], in_b[0]
        for i, j in [*((in_a[0] + i, in_b[0] + j) for i, j in found), (in_a[1], in_b[1])]:
            if before_a < i and before_b < j and look + 1 < len(a):
                to_do.append((look + 1, (before_a, i), (before_b, j)))
            if (i, j) != (in_a[1], in_b[1]):
                result.append((i, j))
            before_a, before_b = i + 1, j + 1
    result.sort()
    return result
