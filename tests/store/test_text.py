"""Text and JSON that survive every database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spandag_test_databases import connected
from sqlalchemy import select
from sqlalchemy import text as sql

from spandag.store import Writer
from spandag.store.schema import settings
from spandag.store.text import decode, flat_to_json, storable, to_json

STRANGE = ["plain", "", "é ✓ 😀", "a\x00b", "\ud83d alone", "␛", "␛0000", "\x00␛\udfff😀"]


@pytest.fixture
def keep(store_url: str) -> Callable[[str, Any], tuple[str, Any]]:
    """Has a database keep a text and a value in JSON; gives what it gives back."""
    Writer(store_url).settle()

    def keep(text: str, value: Any) -> tuple[str, Any]:
        with connected(store_url) as connection:
            cast = "CAST(:value AS JSONB)" if connection.dialect.name == "postgresql" else ":value"
            connection.execute(
                sql(f"INSERT INTO settings (key, value) VALUES (:key, {cast})"),
                {"key": text, "value": to_json(value)},
            )
            found = select(settings.c.key, settings.c.value).where(settings.c.key == text)
            return tuple(connection.execute(found).one())

    return keep


def test_what_is_stored_reads_back_exactly(keep: Callable[[str, Any], tuple[str, Any]]) -> None:
    text = "\n".join(STRANGE)
    kept, value = keep(storable(text), {text: STRANGE})
    assert decode(kept) == text
    assert {decode(key): [decode(item) for item in items] for key, items in value.items()} == {text: STRANGE}
    assert "\x00" not in kept
    kept.encode()


@pytest.mark.parametrize("number", [1e16, -1.5e300, 1e22, 1e-7, 5e-324, 0.1, 1.0, -0.0, 2**63, -(10**1000)])
def test_numbers_in_json_are_the_same_on_every_database(
    keep: Callable[[str, Any], tuple[str, Any]], number: float
) -> None:
    _, [kept, text] = keep("numbers", [number, f'"{number} 1e+16 -0.0'])
    assert (kept, type(kept), str(kept)) == (number, type(number), str(number or abs(number)))
    assert text == f'"{number} 1e+16 -0.0'


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


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.one_of(
            st.one_of(st.text(max_size=40), st.sampled_from(STRANGE)),
            st.integers(),
            st.booleans(),
            st.floats(),
            st.none(),
            st.lists(st.one_of(st.text(max_size=5), st.floats(), st.booleans())).map(tuple),
        ),
        max_size=6,
    )
)
def test_the_quick_way_writes_the_same_json(values: dict[str, Any]) -> None:
    assert flat_to_json(values) == to_json(values)
