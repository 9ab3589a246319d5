"""``spandag search`` and ``spandag db index``."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import spandag as api

from .test_answers import Ask, answer, ask, provider, redone

__all__ = ["ask", "provider", "redone"]


def test_a_text_is_found_and_the_next_question_is_said(ask: Ask, redone: str) -> None:
    result = ask("search", "power LAW")

    assert result.exit_code == 0
    assert "hypothesis: try a power law" in result.stdout
    assert " node " in result.stderr


def test_json_is_the_list_of_hits(ask: Ask, redone: str) -> None:
    [hit] = answer(ask("search", "power law", "--json"))

    assert (hit["run_id"], hit["name"], hit["found_in"], hit["marks"]) == (
        redone,
        "fit",
        "hypothesis",
        [[6, 15]],
    )
    assert answer(ask("search", "nobody says this", "--json")) == []


def test_nothing_found_is_no_error(ask: Ask, redone: str) -> None:
    result = ask("search", "nobody says this")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        "no node says 'nobody says this'\n"
        "no content was recorded; names, errors, hypotheses and tasks were looked through\n"
    )
    assert ask("search", "--error").stderr == "nothing is like that\n"


def test_options_are_filters(ask: Ask, redone: str) -> None:
    def names(*options: str) -> list[str]:
        return [hit["name"] for hit in answer(ask("search", "--json", *options))]

    assert names("--type", "llm") == ["m", "m"]
    assert names("--type", "llm", "--model", "m", "--session", "alice", "--since", "2h") == ["m", "m"]
    assert names("--until", "2h") == names("--until", "2020-01-01") == names("--longer", "5m") == []
    assert names("--type", "run", "--shorter", "2h", "--run", "last", "--status", "completed") == ["report"]


def test_a_full_page_says_how_to_go_on(ask: Ask, redone: str) -> None:
    result = ask(
        "search", "fit", "--type", "step", "-n", "1", "--since", "1d", "--error", "x", "--longer", "1.5s"
    )
    assert result.exit_code == 0
    result = ask("search", "--type", "step", "-n", "1", "--since", "2020-01-01T00:00:00", "--shorter", "1m")

    line = next(line for line in result.stderr.splitlines() if "--cursor" in line)
    assert "--type step --since 2020-01-01T00:00:00 --shorter 60000ms --limit 1 --cursor " in line
    cursor = line.partition("--cursor ")[2].split()[0]
    [first] = answer(ask("search", "--type", "step", "-n", "5", "--cursor", cursor, "--json"))
    assert (first["name"], first["found_in"]) == ("fit", None)


@pytest.mark.parametrize(
    "asked",
    [
        ("--", "-x"),
        ("--no-index", "--", "--store"),
        ("--error", "an", "--session", "-x", "--", "a -- b"),
        ("--error", "--", "-x"),
        ("it's -x",),
    ],
)
def test_what_is_said_to_go_on_can_be_typed_whatever_is_searched_for(
    ask: Ask, provider: TracerProvider, store_file: Path, asked: tuple[str, ...]
) -> None:
    with api.run("r", session="-x"):
        for number in range(2):
            with pytest.raises(ValueError), api.tool(f"-x --store a -- b it's -x {number}"):
                raise ValueError("an -x")
    store = ("--store", str(store_file))
    asked = ("--type", "tool", "-n", "1", *store, *asked)

    result = ask("search", *asked)

    assert " 1  ValueError" in result.stdout
    [line] = [line for line in result.stderr.splitlines() if "--cursor" in line]
    program, *words = shlex.split(line.removeprefix("next: ").removesuffix("to go on"))
    assert program.endswith("spandag")
    again = ask(*words)
    assert (again.exit_code, "--cursor" in again.stderr) == (0, False)
    assert " 0  ValueError" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--since", "yesterday"),
            "'yesterday' is no time such as 2h (ago), 2026-11-01 or 2026-11-01T09:30.",
        ),
        (("--longer", "ten"), "'ten' is no time such as 500ms, 10s, 5m or 2h."),
        (("--type", "toll"), "there is no type 'toll'"),
        (("--status", "bad"), "there is no status 'bad'"),
        (("--cursor", "1"), "'1' is no cursor"),
        (("--limit", "0"), "0 is not in the range"),
        (("",), "nothing is everywhere"),
    ],
)
def test_bad_input_is_one_line(ask: Ask, redone: str, arguments: tuple[str, ...], message: str) -> None:
    result = ask("search", *arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_index_is_built_brought_up_to_date_and_dropped(ask: Ask, redone: str, store_file: Path) -> None:
    assert ask("db", "index").stdout == f"{store_file}  1 run indexed, 1 of them now\n"
    with api.run("next"):
        pass
    assert answer(ask("db", "index", "--json")) == {
        "store": str(store_file),
        "runs": 2,
        "added": 1,
        "removed": 0,
        "dropped": False,
    }
    assert answer(ask("search", "power law", "--json")) == answer(
        ask("search", "power law", "--no-index", "--json")
    )
    assert ask("db", "check").exit_code == 0
    assert "text_index" in ask("db", "stats").stdout
    assert ask("db", "index", "--drop").stdout == f"{store_file}  the index is removed\n"
    assert ask("db", "index", "--drop").stdout == f"{store_file}  there was no index\n"


def test_an_index_of_no_store_is_refused(ask: Ask, store_file: Path) -> None:
    result = ask("db", "index")

    assert result.exit_code == 2
    assert "no store at" in result.stderr
    assert not store_file.exists()
