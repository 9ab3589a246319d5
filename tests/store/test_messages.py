"""What messages mean: some mean the same, though they are not written the same."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smolagents import AgentError, AgentLogger, LogLevel, Timing
from smolagents.memory import ActionStep, ToolCall

from spandag.store import messages
from spandag.store.messages import (
    MOST_LOOKED_INTO,
    Meanings,
    _canonical,
    _may_be_otherwise,
    _renamed,
    _value,
    _without_call_ids,
    _without_ids,
    hash_of,
    meaning_of,
)
from spandag.store.text import restored_json, to_json

Message = tuple[bytes, str, str]


def message(kind: str, content: str) -> Message:
    return hash_of(kind, content), kind, content


def of_text(content: str) -> Message:
    return message("text", content)


def call(call_id: str, arguments: object, *, name: str = "t") -> Message:
    part = {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
    return message("message", to_json({"role": "assistant", "parts": [part]}, canonical=True))


def answer(call_id: str | None, response: object) -> Message:
    part = {"type": "tool_call_response", "response": response}
    if call_id is not None:
        part["id"] = call_id
    return message("message", to_json({"role": "tool", "parts": [part]}, canonical=True))


def of_provider(role: str, **said: object) -> Message:
    return message("message", to_json({"role": role, **said}, canonical=True))


def meaning(*messages: Message) -> bytes:
    found = Meanings().of_list(messages)
    assert found is not None
    return found


OPENAI = ("call_aaaaaaaaaaaaaaaaaaaaaaa1", "call_bbbbbbbbbbBbbbbbbbbbbbbb")
ANTHROPIC = "toolu_01A09q90qw90lq917835lq9"
OF_MANY = [
    *OPENAI,
    ANTHROPIC,
    "toolu_bdrk_01A09q90qw90lq917835lq9",
    "chatcmpl-tool-0123456789abcdef",
    "call_00_S5uBa1c2D3e4F5g6H7i8J9k0",  # DeepSeek
    "call_0_0f8fad5b-d9cb-469f-a165-70867728950e",
    "call_0f8fad5bd9cb469fa16570867728__thought__EjQKMgG0vZ/4+A==",  # Gemini, by LiteLLM
]


def as_smolagents_tells(call_id: str) -> str:
    """A call that failed, in the words of the framework itself."""
    logger = AgentLogger(LogLevel.OFF)
    calls = [ToolCall("t", {"a": 1}, call_id), ToolCall("t", {"a": 2}, f"{call_id}2")]
    step = ActionStep(1, Timing(0), tool_calls=calls, error=AgentError("No such tool", logger))
    return "".join(part["text"] for told in step.to_messages() for part in told.content)


def in_message(text: str) -> Message:
    part = {"type": "text", "content": text}
    return message("message", to_json({"role": "user", "parts": [part]}, canonical=True))


ORDERS = ('{"a":1,"b":2}', '{"b":2,"a":1.0}')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (call("x1", {"a": 1}), call("y2", {"a": 1})),
        (call("x1", {"a": 1}), call("x1", {"a": 1.0})),
        (call("x1", {"a": 1, "b": 2}), call("x1", '{"b": 2, "a": 1}')),
        (of_text('{"a": 1, "b": [2]}'), of_text('{"b":[2.0],"a":1}')),
        (of_text(f"as {OPENAI[0]} said"), of_text(f"as {ANTHROPIC} said")),
        (of_text(f"as {OPENAI[0]} said"), of_text(f"as {OPENAI[1]} said")),
        (answer("x1", ORDERS[0]), answer("x2", ORDERS[1])),
        (answer(OPENAI[0], ORDERS[0]), answer(OPENAI[1], ORDERS[1])),
        (answer(None, ORDERS[0]), answer(None, ORDERS[1])),
        (answer(None, {"a": 1}), answer(None, {"a": 1.0})),
        (answer(OPENAI[0], ORDERS[0]), answer("x1", ORDERS[0])),
        (answer(None, {OPENAI[0]: 1, "call_m": 2}), answer(None, {"call_m": 2, "call_z" + OPENAI[0][6:]: 1})),
        (answer(OPENAI[0], "nul \x00, mark ␛"), answer("x1", "nul \x00, mark ␛")),
        (
            of_provider("tool", tool_call_id="x1", content="nul \x00"),
            of_provider("tool", tool_call_id=OPENAI[0], content="nul \x00"),
        ),
        (
            of_provider("tool", tool_call_id="x1", content="fine"),
            of_provider("tool", tool_call_id="x2", content="fine"),
        ),
        tuple(
            of_provider("assistant", tool_calls=[{"id": i, "function": {"name": "f", "arguments": order}}])
            for i, order in zip(("x1", "x2"), ORDERS, strict=True)
        ),
        tuple(
            of_provider("assistant", tool_calls=[{"id": i, "function": {"name": "f"}} for i in ids])
            for ids in (OPENAI, OPENAI[::-1])
        ),
        *((of_text(f"{one}, said"), of_text(f"{other}, said")) for one, other in pairwise(OF_MANY)),
        *(
            (in_message(f"As\n{one} said"), in_message(f"As\n{other} said"))
            for one, other in pairwise(OF_MANY)
        ),
        (of_text(as_smolagents_tells("x1")), of_text(as_smolagents_tells("9Ab.-z"))),
        (in_message(as_smolagents_tells("x1")), in_message(as_smolagents_tells("9Ab.-z"))),
    ],
)
def test_what_makes_no_difference_is_no_part_of_the_meaning(one: Message, other: Message) -> None:
    assert one[0] != other[0]
    assert meaning(one) == meaning(other)
    rest = of_text("the rest")
    assert meaning(rest, one) == meaning(rest, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (call("x1", {"a": 1}), call("x1", {"a": 2})),
        (call("x1", {"id": "mars"}), call("x1", {"id": "venus"})),
        (call("x1", {"a": 2**60}), call("x1", {"a": float(2**60)})),
        (of_text("[1, 2]"), of_text("[2, 1]")),
        (of_text("call_me"), of_text("call_you")),
        (of_text("call_simulation_mars()"), of_text("call_simulation_venus()")),
        (of_text("call_simulation()"), of_text("call_everything()")),
        (of_text("call_simulation1_of()"), of_text("call_simulation2_of()")),
        (of_text("use call_endpoint1"), of_text("use call_endpoint2")),
        (call("x1", {"file": "call_20240101.wav"}), call("x1", {"file": "call_20240102.wav"})),
        *(
            (of_text(f"play {before}{OPENAI[0]}{after}"), of_text(f"play {before}{OPENAI[1]}{after}"))
            for before, after in [("", ".wav"), ("calls/", ""), ("", "_old"), ("re", "")]
        ),
        (call("x1", {}, name="call_endpoint1"), call("x1", {}, name="call_endpoint2")),
        (of_text('{"a":1}'), message("message", '{"a":1}')),
        (
            answer("x1", {OPENAI[0]: "mars", OPENAI[1]: "ok"}),
            answer("x1", {OPENAI[0]: "venus", OPENAI[1]: "ok"}),
        ),
        (
            of_text(json.dumps(dict(zip(OPENAI, ("mars", "ok"), strict=True)))),
            of_text(json.dumps(dict(zip(OPENAI, ("venus", "ok"), strict=True)))),
        ),
        (
            of_text("first {} then {}".format(*OPENAI)),
            of_text(f"first {OPENAI[0]} then {OPENAI[0]}"),
        ),
    ],
)
def test_what_makes_a_difference_is(one: Message, other: Message) -> None:
    assert meaning(one) != meaning(other)


def test_a_list_means_its_only_message_or_all_of_them_in_order() -> None:
    one, other = of_text("one"), of_text("other")

    assert meaning() == b""
    assert meaning(one) == one[0]
    assert len({meaning(), meaning(one), meaning(one, other), meaning(other, one), meaning(one, one)}) == 5


def test_what_is_remembered_is_what_was_found_and_no_more_than_some_of_it() -> None:
    meanings = Meanings()
    lists = [[of_text(f"as call_{n:024} said {n // 2}")] for n in range(10_000)]

    found = [meanings.of_list(each) for each in lists]

    assert [meanings.of_list(each) for each in lists[-100:]] == found[-100:]
    assert found == [meaning(*each) for each in lists]
    assert len(meanings._known) < 5_000


def test_a_long_history_is_looked_into_once(monkeypatch: pytest.MonkeyPatch) -> None:
    meanings, looked_into = Meanings(), []
    history = [of_text(f"message {n}") for n in range(6_000)]

    def look(*said: object, most: int) -> bytes | None:
        looked_into.append(said)
        return meaning_of(*said, most=most)  # type: ignore[arg-type]

    monkeypatch.setattr(messages, "meaning_of", look)
    for length in range(5_990, 6_000):
        meanings.of_list(history[:length])

    assert len(looked_into) == 5_999


def test_what_would_take_long_to_look_into_is_not_known_at_once() -> None:
    long = [f"[{'1.0,' * MOST_LOOKED_INTO}1]", f"[{'1,' * MOST_LOOKED_INTO}1]"]
    for text in long:
        assert Meanings().of_list([of_text("short"), of_text(text)]) is None
    one, other = (meaning_of(*of_text(text)) for text in long)
    assert one == other
    # What it takes no look into has any length.
    plain = of_text(f"{OPENAI[0]} " + "x" * 10 * MOST_LOOKED_INTO)
    assert Meanings().of_list([plain]) is not None


@pytest.mark.parametrize("piece", ["[", '{"a":', '["]",'])
def test_what_is_deep_is_taken_as_it_is_however_much_the_program_has_allowed_itself(piece: str) -> None:
    """Python's own limit is all that keeps its parser from ending the process."""
    code = (
        "import sys; sys.setrecursionlimit(10**6)\n"
        "from spandag.store.messages import meaning_of\n"
        f"text = {piece!r} * 200_000\n"
        "print(len(meaning_of(bytes(16), 'text', text)), len(meaning_of(bytes(16), 'message', "
        '\'{"parts":[{"id":"x","type":"tool_call","arguments":\' + text)))'
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, ["16", "16"]), done.stderr


@pytest.mark.parametrize("end", [-2, -4, -5])
def test_json_that_was_cut_off_takes_no_longer_than_any_other(end: int) -> None:
    """It would take hours."""
    code = (
        "import json\n"
        "from spandag.store.messages import meaning_of\n"
        "whole = json.dumps({'rows': json.dumps([{'k': 'v'}] * 100_000)})\n"
        f"print(len(meaning_of(bytes(16), 'text', whole[:{end}])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "16\n"), done.stderr


@pytest.mark.parametrize("depth", [50, 99, 101, 900, 980])
@pytest.mark.parametrize("kind", ["text", "message"])
def test_the_meaning_is_the_same_wherever_it_is_asked_for(depth: int, kind: str) -> None:
    """However little of the stack is left there."""
    deep = "[" * depth + "]" * depth
    said = (
        f'{{"b":1,"a":{deep}}}'
        if kind == "text"
        else f'{{"parts":[{{"arguments":{deep},"id":"x","type":"tool_call"}}]}}'
    )

    def below(frames: int) -> bytes:
        return below(frames - 1) if frames else meaning_of(*message(kind, said))

    assert below(0) == below(100)


# Around what can be an id of a call, what can be in its way.
_PIECES = st.sampled_from(
    [
        "call_",
        "toolu_",
        "chatcmpl-tool-",
        "abcdefabcdefabcdef",
        "A1",
        "_-",
        "x",
        " ",
        '"',
        "é",
        "\\n",
        "/",
        ".",
        "10",
    ]
)


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_ids_are_found_in_texts_as_one_expression_would_find_them(text: str) -> None:
    assert _without_call_ids(text) == _renamed(messages._CALL_ID, text)


_VALUES = st.recursive(
    st.sampled_from([0, 1, 1.0, -0.0, 2.5, 1e16, 1e-7, True, None, "", "x", "␛0000", '{"a": 1}', '["1.0"]']),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from("ab"), each, max_size=2),
    max_leaves=6,
)


@given(
    _VALUES,
    st.sampled_from(["arguments", "response", "result", "content"]),
    st.sampled_from(["tool_call", "tool_call_response", "text"]),
    st.booleans(),
)
def test_what_is_not_looked_into_would_be_the_same_if_it_were(
    value: object, key: str, kind: str, has_id: bool
) -> None:
    """A message's text is taken as it is only where to parse and write it makes no other."""
    part = {"type": kind, "name": "t", key: value, **({"id": ""} if has_id else {})}
    text = to_json({"role": "assistant", "parts": [part]}, canonical=True)

    if not _may_be_otherwise("message", text):
        assert restored_json(_without_ids(json.loads(text)), canonical=True) == text


@given(_VALUES, st.sampled_from(["message", "text"]))
def test_what_the_database_leaves_out_means_what_its_hash_says(value: object, kind: str) -> None:
    text = to_json({"role": "user", "parts": [{"type": "text", "content": value}]}, canonical=True)
    said = message(kind, text if kind == "message" else f"so: {text}")
    assert not any(word in said[2] for word in ("call", "toolu_", "chatcmpl-tool-"))

    assert meaning_of(*said) == said[0]


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
