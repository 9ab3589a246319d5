from __future__ import annotations

import re
from pathlib import Path

import pytest

import spandag
from spandag import query, semconv
from spandag.query import Graph, graph_of_tree
from spandag.query.render import render_dot, render_mermaid

from .conftest import Recording, call, kepler
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"


def graph(recording: Recording, *, depth: int | None = None, whole: bool = False) -> Graph:
    return graph_of_tree(query.tree(recording.store, "last"), depth=depth, whole=whole)


def drawn(found: Graph) -> list[tuple[str, int]]:
    """What is drawn, with how many it stands for."""
    return [(node.node.name, node.times) for node in found.nodes]


@pytest.mark.parametrize(("render", "name"), [(render_mermaid, "graph.mmd"), (render_dot, "graph.dot")])
def test_a_run_is_drawn_as_in_the_golden_file(recording: Recording, render, name: str) -> None:  # type: ignore[no-untyped-def]
    kepler()

    text = "\n".join(render(graph(recording))) + "\n"

    assert normal(text) == (GOLDEN / name).read_text(encoding="utf-8")


def test_redos_within_redos_are_lanes_within_lanes_and_leave_their_step(recording: Recording) -> None:
    with spandag.run("r"):
        for outer in spandag.step("outer").attempts():
            with outer:
                for inner in spandag.step("inner").attempts():
                    with inner:
                        if inner.number == 1:
                            inner.reject("again inside")
                if outer.number == 1:
                    outer.reject("again outside")

    lines = [line for line in render_mermaid(graph(recording)) if "class" not in line]

    shape = [re.sub(r"<br/>.*", "", line.partition("[")[0] + "[" + line.partition("[")[2]) for line in lines]
    assert [len(line) - len(line.lstrip()) for line in shape if "inner" in line] == [4, 8, 8, 12]
    assert [line.strip() for line in lines if ".->" in line] == [
        'n2 -. "redo_1" .-> n5',
        'n3 -. "redo_1" .-> n4',
        'n6 -. "redo_1" .-> n7',
    ] or [line.strip() for line in lines if ".->" in line] == [
        'n3 -. "redo_1" .-> n4',
        'n2 -. "redo_1" .-> n5',
        'n6 -. "redo_1" .-> n7',
    ]
    assert sum(line.strip() == "end" for line in lines) == 3
    dot = "\n".join(render_dot(graph(recording)))
    assert dot.count("subgraph cluster_redo") == 3
    assert dot.count("{") == dot.count("}")


def test_what_repeats_itself_is_drawn_once_with_all_that_it_spent(recording: Recording) -> None:
    with spandag.run("r"), spandag.agent("a"):
        for _ in range(5):
            call(cost=0.25)
            with spandag.tool("look"):
                pass
        call("other-model")

    found = graph(recording)

    assert drawn(found) == [("r", 1), ("a", 1), ("gpt-5-mini", 5), ("look", 5), ("other-model", 1)]
    assert found.nodes[2].spent.cost_usd == 1.25
    assert (found.repeated, found.deeper) == (8, 0)
    assert "×5" in "\n".join(render_mermaid(found))
    whole = graph(recording, whole=True)
    assert (len(whole.nodes), whole.repeated) == (13, 0)


def test_a_depth_leaves_out_what_is_deeper_and_counts_it(recording: Recording) -> None:
    kepler()

    found = graph(recording, depth=2)

    assert max(node.node.depth for node in found.nodes if not node.is_lane) <= 3
    assert [name for name, _ in drawn(found)] == [
        "kepler",
        "planning",
        "planner",
        "control",
        "load",
        "fit",
        "redo_1",
        "fit",
    ]
    assert found.deeper == len(graph(recording, whole=True).nodes) - len(found.nodes)
    assert drawn(graph(recording, depth=0)) == [("kepler", 1)]


def test_names_of_others_cannot_break_out_of_a_drawing(recording: Recording) -> None:
    name = 'a"] --> x\n<b>&`*_bold_* __init__ snake_case $$x$$ \\ #'
    with spandag.run(name):
        pass

    [box] = [line for line in render_mermaid(graph(recording)) if line.strip().startswith("n1")]
    text = box.strip().removeprefix('n1(["').partition("<br/>")[0]
    assert not set(text) & set('"<>`*')
    assert "#95;bold#95;" in text
    assert "snake_case" in text
    shown = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), text).replace("\u200b", "")
    assert shown == f"run {' '.join(name.split())}"
    [box] = [line for line in render_dot(graph(recording)) if line.strip().startswith("n1 ")]
    assert 'run a\\"] --> x <b>' in box


def test_what_looks_like_an_entity_is_drawn_as_it_is_called(recording: Recording) -> None:
    name = "&lt;x&gt; &#0; #lt; R&D"
    with spandag.run(name):
        pass

    [box] = [line for line in render_dot(graph(recording)) if line.strip().startswith("n1 ")]
    assert '"run &amp;lt;x&amp;gt; &amp;#0; #lt; R&amp;D\\n' in box
    assert " &amp;lt;x&amp;gt; " in next(render_dot(graph(recording)))
    [box] = [line for line in render_mermaid(graph(recording)) if line.strip().startswith("n1")]
    assert '["run #38;lt;x#38;gt; #38;#35;0; #35;lt; R#38;D<br/>' in box


def test_names_cannot_configure_mermaid_nor_become_formulas_icons_or_line_breaks(
    recording: Recording,
) -> None:
    with spandag.run("%%{init: {'theme': 'dark'}}%% $$x$$ fa:fa-car C:\\new 50% $5"):
        pass

    [box] = [line for line in render_mermaid(graph(recording)) if line.strip().startswith("n1")]

    # Mermaid looks for a directive in the text as it stands, for the others where escapes are characters again.
    assert "%%" not in box
    shown = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), box)
    assert "$\u200b$x$\u200b$ fa:\u200bfa-car C:\\\u200bnew 50% $5" in shown


def test_a_redo_whose_step_is_missing_hangs_below_what_is_above(recording: Recording) -> None:
    attributes = {
        semconv.SPANDAG_NODE_TYPE: "step",
        semconv.GEN_AI_STEP_NAME: "fit",
        semconv.SPANDAG_STEP_ID: "00000000000000aa",
        semconv.SPANDAG_STEP_ATTEMPT: 2,
    }
    with spandag.run("r"):
        recording.provider.get_tracer("spandag.elsewhere").start_span("fit", attributes=attributes).end()

    assert '    n1 -. "redo_1" .-> n2' in list(render_mermaid(graph(recording)))
