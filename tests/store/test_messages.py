"""What messages mean: some mean the same, though they are not written the same."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spandag.store.messages import (
    Meanings,
    _canonical,
    _value,
    _without_call_ids,
    _without_ids,
    hash_of,
)
from spandag.store.text import to_json

Message = tuple[bytes, str, str]


def message(kind: str, content: str) -> Message:
    return hash_of(kind, content), kind, content


def call(call_id: str, arguments: object) -> Message:
    part = {"type": "tool_call", "id": call_id, "name": "t", "arguments": arguments}
    return message("message", to_json({"role": "assistant", "parts": [part]}, canonical=True))


def meaning(*messages: Message) -> bytes:
    return Meanings().of_list(messages)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (call("x1", {"a": 1}), call("y2", {"a": 1})),
        (call("x1", {"a": 1}), call("x1", {"a": 1.0})),
        (call("x1", {"a": 1, "b": 2}), call("x1", '{"b": 2, "a": 1}')),
        (message("text", '{"a": 1, "b": [2]}'), message("text", '{"b":[2.0],"a":1}')),
        (message("text", "as call_abcdefgh said"), message("text", "as toolu_12345678 said")),
    ],
)
def test_what_makes_no_difference_is_no_part_of_the_meaning(one: Message, other: Message) -> None:
    assert one[0] != other[0]
    assert meaning(one) == meaning(other)
    rest = message("text", "the rest")
    assert meaning(rest, one) == meaning(rest, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (call("x1", {"a": 1}), call("x1", {"a": 2})),
        (call("x1", {"id": "mars"}), call("x1", {"id": "venus"})),
        (message("text", "[1, 2]"), message("text", "[2, 1]")),
        (message("text", "call_me"), message("text", "call_you")),
        (message("text", '{"a":1}'), message("message", '{"a":1}')),
    ],
)
def test_what_makes_a_difference_is(one: Message, other: Message) -> None:
    assert meaning(one) != meaning(other)


def test_a_list_means_its_only_message_or_all_of_them_in_order() -> None:
    one, other = message("text", "one"), message("text", "other")

    assert meaning() == b""
    assert meaning(one) == one[0]
    assert len({meaning(), meaning(one), meaning(one, other), meaning(other, one), meaning(one, one)}) == 5


def test_what_is_remembered_is_what_was_found_and_no_more_than_some_of_it() -> None:
    meanings = Meanings()
    lists = [[message("text", f"as call_{n:08} said {n // 2}")] for n in range(10_000)]

    found = [meanings.of_list(each) for each in lists]

    assert [meanings.of_list(each) for each in lists[-100:]] == found[-100:]
    assert found == [meaning(*each) for each in lists]
    assert len(meanings._known) < 5_000


# Around what can be an id of a call, what can be in its way.
_PIECES = st.sampled_from(
    ["call_", "toolu_", "chatcmpl-tool-", "abcdefgh", "A1_-", "x", " ", '"', "é", "-", "id", ":", "ten"]
)


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_ids_are_found_in_texts_as_one_expression_would_find_them(text: str) -> None:
    ids = re.compile(r"\b(?:call_|toolu_|chatcmpl-tool-)[A-Za-z0-9_-]{8,}")

    assert _without_call_ids(text) == ids.sub("", text)


_VALUES = st.recursive(
    st.sampled_from([0, 1, 1.0, -0.0, 2.5, 1e16, 1e-7, True, None, "", "x", "␛0000", '{"a": 1}', '["1.0"]']),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from("ab"), each, max_size=2),
    max_leaves=6,
)


@given(_VALUES, st.sampled_from(["arguments", "response", "result", "content"]))
def test_what_is_not_parsed_would_be_the_same_if_it_were(value: object, key: str) -> None:
    """A message's text is taken as it is only where to parse and write it makes no other."""
    part = {"type": "tool_call", "id": "", "name": "t", "arguments": {}, key: value}
    text = to_json({"role": "assistant", "parts": [part]}, canonical=True)

    parsed = to_json(_without_ids(json.loads(text)), canonical=True)

    assert _canonical("message", text) == parsed


@given(
    st.recursive(
        st.sampled_from([0, -0.0, 7, -1, 1.0, 10**15, 10**16, 2**70, 0.00001, 1e22, 2.5, True, None])
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text('ab\n"é\x7f/', max_size=2), each),
        max_leaves=6,
    ),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_json_is_written_alike_the_fast_and_the_slow_way(
    value: object, ascii: bool, indent: int | None
) -> None:
    text = json.dumps([value], ensure_ascii=ascii, indent=indent)

    for stored in (text, json.dumps(text)):
        assert _canonical("text", stored) == to_json(_value(stored), canonical=True)


@pytest.mark.parametrize(
    "text", ['{"a":-0}', "[01]", "[NaN]", '{"a":1,"a":2}', "[" * 300 + "]" * 300, "[1e400]"]
)
def test_strange_json_is_written_alike_as_well(text: str) -> None:
    assert _canonical("text", text) == to_json(_value(text), canonical=True)
