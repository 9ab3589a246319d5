"""Text and JSON that survive every database."""

from __future__ import annotations

import json
import sqlite3

import pytest

from spandag.store.text import decode, storable, to_json

STRANGE = ["plain", "", "é ✓ 😀", "a\x00b", "\ud83d alone", "␛", "␛0000", "\x00␛\udfff😀"]


@pytest.mark.parametrize("text", STRANGE)
def test_what_is_stored_reads_back_exactly(text: str) -> None:
    with sqlite3.connect(":memory:") as connection:
        [kept] = connection.execute("SELECT ?", (storable(text),)).fetchone()
    assert decode(kept) == text
    assert "\x00" not in kept
    kept.encode()


@pytest.mark.parametrize("text", STRANGE)
def test_the_same_holds_within_json_keys_and_values(text: str) -> None:
    kept = to_json({text: [text, {"deep": text}]})
    kept.encode()
    assert "\\u0000" not in kept
    [(key, value)] = json.loads(kept).items()
    assert (decode(key), decode(value[0]), decode(value[1]["deep"])) == (text, text, text)


def test_json_keeps_a_backslash_before_u0000() -> None:
    assert json.loads(to_json("\\u0000")) == "\\u0000"


def test_json_has_no_numbers_that_databases_refuse() -> None:
    assert json.loads(to_json([float("nan"), float("inf"), float("-inf"), 1.5])) == [
        "nan",
        "inf",
        "-inf",
        1.5,
    ]


def test_json_takes_whatever_there_is() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    circle: list[object] = []
    circle.append(circle)
    assert json.loads(to_json({"b": b"\x00\xff", "n": 10**5000, "o": Broken(), 1: None})) == {
        "b": "AP8=",
        "n": hex(10**5000),
        "o": "<Broken>",
        "1": None,
    }
    json.loads(to_json(circle))
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    json.loads(to_json(deep))


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert to_json({"b": 1, "a": [{"y": 1, "x": 2}]}, canonical=True) == '{"a":[{"x":2,"y":1}],"b":1}'
