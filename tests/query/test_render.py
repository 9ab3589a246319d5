from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from spandag_test_databases import connected
from sqlalchemy import text as sql

import spandag
from spandag import query
from spandag.query import Spent
from spandag.query.render import (
    Line,
    Page,
    render_node,
    render_redos,
    render_runs,
    render_search,
    render_tree,
    to_text,
)
from spandag.query.render.formats import ASCII, UNICODE, cost, count, duration, moment, usd

from .conftest import Recording, call, kepler
from .test_tree import spans

GOLDEN = Path(__file__).parent / "golden"
MS, S = 10**6, 10**9


def normal(text: str) -> str:
    """Text without what differs from run to run; columns keep their width."""
    text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-01-01 00:00:00", text)
    text = re.sub(r"\b[A-Z][a-z]{2} \d\d \d\d:\d\d", "Jan 01 00:00", text)
    text = re.sub(r"(?<![\w$.-])[0-9a-f]{8}(?:[0-9a-f]{24})?\b", lambda m: "0" * len(m[0]), text)
    # Durations vary in length; the space around them gives way.
    return re.sub(r" *\b\d+(?:\.\d)?(?:ms|s)\b", " 1ms", text)


def tree_text(recording: Recording, page: Page | None = None, *, ids: bool = False) -> str:
    tree = query.tree(recording.store, "last")
    return to_text(render_tree(tree, page or Page(), ids=ids))


@pytest.mark.parametrize(("name", "page"), [("tree.txt", Page()), ("tree_ascii.txt", Page(encoding="ascii"))])
def test_a_tree_is_drawn_as_in_the_golden_file(recording: Recording, name: str, page: Page) -> None:
    kepler()

    assert normal(tree_text(recording, page)) == (GOLDEN / name).read_text(encoding="utf-8")


def test_redos_and_runs_are_drawn_as_in_the_golden_files(recording: Recording) -> None:
    kepler()

    redos = to_text(render_redos(query.redos(recording.store), Page()))
    runs = to_text(render_runs(query.runs(recording.store), Page()))

    assert normal(redos) == (GOLDEN / "redos.txt").read_text(encoding="utf-8")
    assert re.sub(r" +", " ", normal(runs)) == (GOLDEN / "runs.txt").read_text(encoding="utf-8")


def test_superseded_nodes_are_dim_but_for_their_outcome(recording: Recording) -> None:
    kepler()
    lines = render_tree(query.tree(recording.store, "last"), Page())

    rejected = next(line for line in lines if "attempt 1" in to_text([line]))
    accepted = next(line for line in lines if "attempt 2" in to_text([line]))

    assert {style for _, style in rejected} == {"dim", "yellow"}
    assert [text.strip() for text, style in rejected if style == "yellow"] == ["✗ rejected"]
    assert ("fit", "bold") in accepted
    assert any(style == "green" and "accepted" in text for text, style in accepted)


def test_only_the_deepest_node_shows_an_error_that_passes_through(recording: Recording) -> None:
    with pytest.raises(ValueError), spandag.run("r"), spandag.agent("a"), spandag.tool("t"):
        raise ValueError("broken")

    text = tree_text(recording)

    assert text.count("ValueError: broken") == 1
    assert text.count("✗ failed") == 4  # the header and three nodes
    assert text.endswith("         ValueError: broken\n")


def test_names_cannot_control_the_terminal_nor_the_markup(recording: Recording) -> None:
    name = "[bold red]x[/] \x1b[31mred\x1b]0;title\x07 \u202eltr\nnext\ttab \x00 \ud83d"
    recording.exporter.export(spans((1, None), names={1: name}))

    for text in (
        tree_text(recording),
        to_text(render_runs(query.runs(recording.store), Page(width=200))),
        to_text(
            render_node(query.node(recording.store, query.tree(recording.store, "last").nodes[0].id), Page())
        ),
    ):
        assert r"[bold red]x[/] \x1b[31mred\x1b]0;title\x07 \u202eltr next tab \x00 \ud83d" in text
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", text)


def test_a_foreign_type_of_node_cannot_control_the_terminal(recording: Recording) -> None:
    with spandag.run("r"), spandag.tool("t"):
        pass
    with connected(recording.url) as connection:
        connection.execute(
            sql("UPDATE dag_nodes SET node_type = :type WHERE name = 't'"), {"type": "x\x1b[2J"}
        )

    drawn = to_text(render_search(query.search(recording.store).hits, Page()))

    assert "x\\x1b[2J t\n" in drawn
    assert "\x1b" not in drawn


def test_long_and_wide_names_are_cut_to_the_page(recording: Recording) -> None:
    with spandag.run("n" * 10_000_000), spandag.agent("日本語" * 200), spandag.tool("t"):
        call()

    for width in (40, 80, 100):
        lines = tree_text(recording, Page(width=width)).splitlines()
        assert max(map(cell_len, lines)) <= width
        assert sum("…" in line for line in lines) >= 3


def test_every_line_fits_however_deep_the_tree(recording: Recording) -> None:
    recording.exporter.export(spans((1, None), *((i, i - 1) for i in range(2, 200))))

    lines = tree_text(recording).splitlines()

    assert max(map(cell_len, lines)) <= 100
    assert [re.search(r"agent a\d+", line) is not None for line in lines[3:]] == [True] * 199
    assert "…150 agent a151" in lines[3 + 150]


def test_ids_are_shown_on_demand_and_can_be_asked_for(recording: Recording) -> None:
    kepler()

    text = tree_text(recording, ids=True)

    for node_id in re.findall(r"(bp:[0-9a-f]{16}|[0-9a-f]{8}) [a-z↻]", "\n".join(text.splitlines()[3:])):
        query.node(recording.store, node_id)
    assert len(re.findall(r"(?m)\b[0-9a-f]{8} (?:run|phase|step|agent|llm|tool)", text)) == 15


def test_what_an_encoding_lacks_is_escaped(recording: Recording) -> None:
    with spandag.run("日本 ok"):
        pass

    text = tree_text(recording, Page(encoding="ascii"))

    assert text.isascii()
    assert r"\u65e5\u672c ok" in text


@pytest.mark.usefixtures("capture_content")
def test_a_node_is_shown_with_all_that_it_has(recording: Recording) -> None:
    with spandag.run("r"), spandag.agent("a") as agent:
        with spandag.chat("m", provider="p", input="line 1\nline 2 \x1b[2J") as chat:
            chat.set_usage(10, 4, cache_read_tokens=5, reasoning_tokens=2)
            chat.set_output("answer")
        agent.add_event("approval", {"by": "human"})

    tree = query.tree(recording.store, "last")
    llm = to_text(render_node(query.node(recording.store, tree.nodes[2].id), Page()))
    above = to_text(render_node(query.node(recording.store, tree.nodes[1].id), Page()))

    assert "\ninput user\n  line 1\n  line 2 \\x1b[2J\n\noutput assistant\n  answer\n" in llm
    assert re.search(r"tokens +10 in, 4 out \(5 read from cache, 2 for reasoning\)\n", llm)
    assert re.search(r"cost +\? \(no price known\)\n", llm)
    assert re.search(r"path +r · a\n", llm)
    assert re.search(r"\nevents\n  \+\d+ms approval\n    by  human\n", above)
    assert re.search(r"\nbelow\n  [0-9a-f]{8} llm m  ✓ completed\n", above)


def test_nothing_is_drawn_of_nothing() -> None:
    assert render_runs([], Page()) == render_redos([], Page()) == []


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0ms"),
        (340 * MS, "340ms"),
        (999 * MS, "999ms"),
        (999_600_000, "1.0s"),
        (12_340 * MS, "12.3s"),
        (59_960 * MS, "1m 00s"),
        (125 * S, "2m 05s"),
        (3_720 * S, "1h 02m"),
        (-5 * S, "0ms"),
    ],
)
def test_durations(nanoseconds: int, text: str) -> None:
    assert duration(7, 7 + nanoseconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (9_949, "9.9k"),
        (31_400, "31k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (4_500_000, "4.5M"),
        (7 * 10**12, "7000G"),
    ],
)
def test_counts(number: int, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.0000"),
        (0.00123, "$0.0012"),
        (0.000183, "$0.00018"),
        (0.0000095, "$0.0000095"),
        (1.5, "$1.5000"),
        (1234.5, "$1,234.50"),
    ],
)
def test_amounts(amount: float, text: str) -> None:
    assert usd(amount) == text


def test_a_cost_says_what_is_not_known() -> None:
    assert cost(Spent(), UNICODE) == ""
    assert cost(Spent(1, 1, 1, None, 1), UNICODE) == "?"
    assert cost(Spent(2, 1, 1, 0.5, 1), UNICODE) == "≥ $0.5000"
    assert cost(Spent(2, 1, 1, 0.5, 1), ASCII) == ">= $0.5000"
    assert cost(Spent(2, 1, 1, 0.5, 0), UNICODE) == "$0.5000"


def test_an_absurd_clock_is_left_out() -> None:
    assert moment(10**30) == ""
    assert moment(None) == ""


def test_a_line_is_cut_where_its_pieces_pass_the_width() -> None:
    line: Line = [("abc", "bold"), ("defgh", "dim"), ("ij", "")]

    assert Page(width=7).cut(line) == [("abc", "bold"), ("def…", "dim")]
    assert Page(width=10).cut(line) == line
