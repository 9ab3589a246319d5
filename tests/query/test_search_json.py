"""Finding what stands in JSON: arguments, results and messages, as people read them and as JSON spells them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import spandag
from spandag import query, semconv
from spandag.query.said import spelt, texts_of
from spandag.store.case_folding import ANY, folded, forms

from .conftest import Recording
from .searching import build, chat, marked, names, said

pytestmark = pytest.mark.usefixtures("capture_content")

GIVEN = {"path": "C:\\data\\x", "say": 'he said "hi there"', "nl": "line\nbreak2"}


@pytest.mark.parametrize(
    ("wanted", "excerpt"),
    [
        ("c:\\DATA", "C:\\data\\x"),
        ('said "hi', 'he said "hi there"'),
        ("line\nbreak", "line break2"),
        # As JSON spells it.
        ("C:\\\\data", None),
        ('said \\"hi', None),
        ("line\\nbreak", None),
        ('"path":"C:', None),
    ],
)
def test_arguments_are_found_as_they_are_and_as_json_spells_them(
    recording: Recording, and_indexed: Callable[[], None], wanted: str, excerpt: str | None
) -> None:
    with spandag.run("r"), spandag.tool("t", arguments=GIVEN):
        pass
    with spandag.run("other"), spandag.tool("u", arguments={"path": "/data"}):
        pass
    and_indexed()

    [hit] = query.search(recording.store, wanted).hits

    assert (hit.name, hit.found_in) == ("t", "input")
    assert [each.lower() for each in marked(hit)] == [wanted.lower().replace("\n", " ")]
    if excerpt is not None:
        assert hit.excerpt == excerpt


def test_json_within_a_text_of_json_is_found_as_people_read_it(
    recording: Recording, and_indexed: Callable[[], None]
) -> None:
    call = {"type": "tool_call", "name": "write", "arguments": GIVEN}
    answer = {"type": "tool_call_response", "response": json.dumps(GIVEN)}
    with spandag.run("r"):
        chat(recording, "called", json.dumps([{"role": "assistant", "parts": [call]}]))
        chat(recording, "answered", json.dumps([{"role": "tool", "parts": [answer]}]))
        with spandag.tool("whole") as tool:
            tool.set_output({"body": json.dumps(GIVEN)})
    and_indexed()

    for wanted in ("C:\\data", 'said "hi', "line\nbreak", "C:\\\\data", 'said \\"hi', "line\\nbreak"):
        assert sorted(names(recording, text=wanted)) == ["answered", "called", "whole"], wanted


def test_what_is_behind_the_preview_or_cut_in_it_is_found(
    recording: Recording, and_indexed: Callable[[], None]
) -> None:
    with spandag.run("r"), spandag.tool("t", arguments={"a": "x" * 5000, "b": 'say "late"'}):
        pass
    # A repeated message is found behind its preview where it first appears, in the preview wherever it is.
    repeated = json.dumps([{"role": "user", "parts": [{"type": "text", "content": json.dumps(GIVEN)}]}])
    with spandag.run("again"):
        chat(recording, "m1", repeated)
        chat(recording, "m2", repeated)
    and_indexed()

    assert names(recording, text='say "late"') == ["t"]
    assert names(recording, text='said "hi') == names(recording, text="he said") == ["m2", "m1"]


def test_whatever_a_tool_is_given_and_gives_is_searched_with_its_keys(
    recording: Recording, and_indexed: Callable[[], None]
) -> None:
    keys = ["type", "role", "finish_reason", "modality", "mime_type", "name", "id", "content", "function"]
    given = {key: f"the {key} given" for key in keys} | {"result": {"deep": True}}
    call = {"type": "tool_call", "name": "write", "arguments": given}
    answer = {"type": "tool_call_response", "response": {"type": "a galaxy"}}
    with spandag.run("r"):
        messages = [{"role": "assistant", "parts": [call]}, {"role": "tool", "parts": [answer]}]
        chat(recording, "m", json.dumps([*messages, {"role": "user", "parts": []}]))
    and_indexed()

    for key in keys:
        for wanted in (f"the {key} given", f'"{key}":"the {key}', key):
            [hit] = query.search(recording.store, wanted, node_type="llm").hits
            assert (hit.found_in, marked(hit)[0]) == ("input", wanted)
    assert names(recording, text='"result":{"deep":true}') == ["m"]
    assert said(query.search(recording.store, "a galaxy").hits) == [("llm", "m", "input")]
    # What only holds a message together was said by nobody.
    for wanted in ("tool_call", "parts", "response", "assistant"):
        assert names(recording, text=wanted) == [], wanted


def test_what_was_written_with_escapes_only_is_found_in_either_case(
    recording: Recording, and_indexed: Callable[[], None]
) -> None:
    said = json.dumps({"city": "München Ärger", "who": 'ΟΔΥΣΣΕΥΣ кошка Å 🎉 "日本"'})
    assert said.isascii()
    attributes = {semconv.GEN_AI_OPERATION_NAME: "execute_tool", semconv.GEN_AI_TOOL_NAME: "given"}
    with spandag.run("r"):
        recording.tracer.start_span(
            "execute_tool", attributes={**attributes, semconv.GEN_AI_TOOL_CALL_ARGUMENTS: said}
        ).end()
        answer = {"type": "tool_call_response", "response": said}
        chat(recording, "answered", json.dumps([{"role": "tool", "parts": [answer]}]))
        with spandag.tool("gave") as tool:
            tool.set_output(said)
    and_indexed()

    for wanted in ("münchen äRGER", "MÜNCHEN", "Οδυσσευς", "КОШКА", "å \U0001f389", '"日本"', "m\\u00FCn"):
        assert names(recording, text=wanted) == ["gave", "answered", "given"], wanted
    assert names(recording, text="Münster") == []


def test_a_text_of_which_the_index_knows_nothing_is_found_without_it(recording: Recording) -> None:
    with spandag.run("r"), spandag.tool("t", arguments={"a": "ßẞß"}):
        pass
    build(recording)

    page = query.search(recording.store, "ßßß")

    assert ([hit.name for hit in page.hits], page.used_index) == (["t"], False)


def test_every_character_is_found_in_its_other_case_in_escapes_as_well() -> None:
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        lower = folded(character)
        # The sign of the kelvin is a k of ASCII.
        if lower != character and not lower.isascii():
            escapes = json.dumps(character)[1:-1]
            for form in (forms(lower)[1], forms(character)[1]):
                assert len(form) == len(escapes)
                assert all(digit in (ANY, escape) for digit, escape in zip(form, escapes, strict=True)), (
                    character
                )


def cut(text: str) -> Iterator[str]:
    for end in range(len(text) + 1):
        yield text[:end]
        yield text[:end] + "…"


def test_json_that_was_cut_anywhere_is_read_as_far_as_it_goes() -> None:
    whole: dict[str, Any] = {"a": 'one \\ "two"\n', "b": "three"}
    text = json.dumps(whole)
    for part in cut(text):
        read = list(spelt(part))
        assert read[0] == part
        for each in read[1:]:
            assert whole["a"].startswith(each.removesuffix("…"))
    assert list(spelt(text)) == [text, whole["a"]]
    assert list(spelt(text[: text.index("two") + 3])) == [text[: text.index("two") + 3], 'one \\ "two']
    assert list(spelt(f"call({text})")) == [f"call({text})", whole["a"]]
    # Not JSON, though it has quotes and backslashes.
    assert list(spelt('type "C:\\new" here')) == ['type "C:\\new" here']


def test_one_string_of_json_is_found_in_both_spellings() -> None:
    assert list(texts_of("text", '"he said \\"hi\\""')) == ['he said "hi"', 'he said \\"hi\\"']
