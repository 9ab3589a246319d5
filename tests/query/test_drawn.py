"""What is exported as a drawing is drawn by the real Mermaid and the real Graphviz, with every name as it is."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import spandag
from spandag import query
from spandag.query import Graph, graph_of_tree
from spandag.query.render import render_dot, render_mermaid
from spandag.query.render.graph import Box, Opened, pieces
from spandag.query.render.mermaid import MOST_CHARACTERS, MOST_EDGES, edges_and_characters, is_drawn

from .conftest import Recording, kepler
from .test_graph import graph

PROGRAMS = Path(__file__).parents[1] / "drawings"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (PROGRAMS / "node_modules").is_dir(),
    reason="Mermaid and Graphviz are not installed; `make drawings` does it with npm",
)

NAMES = [
    'a "quoted" name',
    "[brackets] (round) {curly} {{two}} [[two]] ((two))",
    "a|b||c;d",
    "back\\slash \\n \\l \\N \\G C:\\new \\",
    "line\nbreak\r\nand\ttab",
    "end",
    "subgraph",
    "class x superseded",
    "click n1 href",
    "graph TD",
    "🚀 👩‍🔬 🇩🇪 日本語 العربية",
    "<b>bold</b><script>alert(1)</script>",
    "<img src=x onerror=alert(2)><br/>",
    "&lt;entity&gt; &amp; &#35; #35; #quot; R&D",
    "`code` **bold** _it_ __init__ ~~s~~ snake_case",
    "$$x^2$$ $y$ ${z}",
    "%%{init: {'theme': 'dark', 'themeCSS': '* {display: none}'}}%%",
    "%% a comment",
    "- item",
    "1. item",
    "# heading",
    "> quote",
    "--> n1:::failed",
    "fa:fa-car fab:fa-git",
    "https://example.com/?a=1&b=2",
    "@{shape: x}",
    "---\ntitle: x\n---",
    "nul\x00 and lone \ud83d",
    "x" * 4096,
    "🦄" * 1000,
]

Draw = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def draw() -> Iterator[Draw]:
    with subprocess.Popen(
        ["node", "draw.mjs"], cwd=PROGRAMS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None

        def draw(found: Graph, language: str, *, only_parse: bool = False) -> dict[str, Any]:
            lines = render_mermaid(found) if language == "mermaid" else render_dot(found)
            question = {"language": language, "text": "".join(f"{line}\n" for line in lines)}
            asked.write(json.dumps({**question, "onlyParse": only_parse}) + "\n")
            asked.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        yield draw
        asked.close()


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    """Only one database: it is the same drawing out of the other."""
    with Recording.at(f"sqlite:///{tmp_path / 'runs.db'}") as recording:
        yield recording


def says(texts: list[str]) -> Counter[str]:
    """The texts as one sees them, in whatever order."""
    return Counter(
        "\n".join(" ".join(line.split()) for line in text.replace("\u200b", "").split("\n")) for text in texts
    )


@pytest.mark.parametrize("language", ["mermaid", "dot"])
def test_every_name_is_drawn_as_it_is(recording: Recording, draw: Draw, language: str) -> None:
    with spandag.run('a run "of" [mishaps] | \\ 🚀 <b> end'):
        for name in NAMES:
            with spandag.agent(name):
                pass
        for attempt in spandag.step('st"ep[|] <i> \\n').attempts():
            with attempt:
                if attempt.number == 1:
                    attempt.reject('no "]\nend\nsubgraph | <script> `x` %%{init: {}}%% #quot;', 'rev"iew]er')
    found = graph(recording, whole=True)

    drawn = draw(found, language)

    assert "error" not in drawn
    assert says(drawn["boxes"]) == says(
        ["\n".join(box.lines) for box in pieces(found) if isinstance(box, Box)]
    )
    assert says(drawn["lanes"]) == says([lane.title for lane in pieces(found) if isinstance(lane, Opened)])
    assert (drawn["edges"], drawn["active"]) == (len(NAMES) + 2, 0)
    assert "display: none" not in drawn["style"]


@pytest.mark.parametrize("language", ["mermaid", "dot"])
def test_redos_are_lanes(recording: Recording, draw: Draw, language: str) -> None:
    kepler()

    drawn = draw(graph(recording), language)

    assert drawn["lanes"] == ["↻ redo_1 asked by reviewer: “fit in log space”"]
    assert (len(drawn["boxes"]), drawn["edges"]) == (15, 14)


def test_so_many_edges_mermaid_draws_and_no_more(recording: Recording, draw: Draw) -> None:
    for count in (MOST_EDGES, MOST_EDGES + 1):
        with spandag.run("wide"):
            for number in range(count):
                with spandag.tool(f"tool {number}"):
                    pass
    fits, too_many = (
        graph_of_tree(query.tree(recording.store, run.id))
        for run in sorted(query.runs(recording.store), key=lambda run: run.started_at)
    )

    assert (is_drawn(fits), is_drawn(too_many)) == (True, False)
    assert draw(fits, "mermaid", only_parse=True) == {}
    assert "Edge limit exceeded" in draw(too_many, "mermaid", only_parse=True)["error"]
    assert len(draw(too_many, "dot")["boxes"]) == MOST_EDGES + 2


def test_so_long_a_text_mermaid_draws_and_no_longer(recording: Recording, draw: Draw) -> None:
    with spandag.run("long"):
        for number in range(170):
            # Each a character of two in UTF-16, or of five once it is escaped.
            with spandag.tool(f"{number} 🦄" + "&" * 50), spandag.tool("inside"):
                pass
    tree = query.tree(recording.store, "last")
    fits, too_long = (graph_of_tree(tree, depth=depth) for depth in (1, 2))
    assert edges_and_characters(fits)[1] < MOST_CHARACTERS < edges_and_characters(too_long)[1]

    assert (is_drawn(fits), is_drawn(too_long)) == (True, False)
    assert len(draw(fits, "mermaid")["boxes"]) == 171
    assert draw(too_long, "mermaid")["boxes"] == ["Maximum text size in diagram exceeded"]
