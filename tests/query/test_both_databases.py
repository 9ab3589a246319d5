"""Whatever is asked of whatever runs, SQLite and PostgreSQL give the same answers, settled or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from opentelemetry.sdk.trace import ReadableSpan
from spandag_test_databases import empty
from spandag_test_runs import histories

from spandag import query
from spandag.export.project import project
from spandag.query import QueryError
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_diff, render_timeline, render_tree, to_text
from spandag.query.trajectories import agents
from spandag.semconv import NodeType
from spandag.store import Store, Writer, open_store

from .stories import fall_behind

PAGE = Page(100)
Answers = dict[str, Any]


class Shelf:
    """A store, emptied for each example."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.writer = Writer(url)
        self.writer.settle()
        self.store = open_store(url)

    def filled(self, spans: list[ReadableSpan]) -> None:
        empty(self.url)
        self.writer.write(project(spans))
        self.writer.settle()

    def close(self) -> None:
        self.store.close()
        self.writer.close()


@pytest.fixture
def shelves(postgres_url: str, tmp_path: Path) -> Iterator[tuple[Shelf, Shelf]]:
    both = Shelf(f"sqlite:///{tmp_path / 'runs.db'}"), Shelf(postgres_url)
    yield both
    for shelf in both:
        shelf.close()


def answers(store: Store) -> Answers:
    """To every question about all runs, about each run, and about each step."""
    found: Answers = {}

    def ask(question: str, answer: Callable[[], Any]) -> None:
        try:
            found[question] = rounded(as_json(answer()))
        except QueryError as error:
            found[question] = str(error)

    runs = sorted(run.id for run in query.runs(store, limit=None))
    ask("runs", lambda: query.runs(store, limit=None))
    ask("sessions", lambda: query.sessions(store))
    ask("redos", lambda: query.redos(store))
    ask("unresolved", lambda: query.unresolved(store))
    for by in ("step", "agent", "model"):
        ask(f"rates {by}", lambda by=by: query.rates(store, by=by))  # type: ignore[misc]
        ask(f"waste {by}", lambda by=by: query.waste(store, by=by))  # type: ignore[misc]
    for by in ("agent", "model", "session"):
        ask(f"costs {by}", lambda by=by: query.costs(store, by=by))  # type: ignore[misc]
    for text in ("a", "STEP", "error"):
        ask(f"search {text}", lambda text=text: query.search(store, text, limit=200).hits)  # type: ignore[misc]
    for agent in agents(store):
        ask(f"trajectories {agent}", lambda agent=agent: query.recent_trajectories(store, agent, 50))  # type: ignore[misc]
    for run in runs:
        for_run(ask, store, run)
    if len(runs) == 2:
        ask("diff", lambda: drawn_diff(store, *runs))
    return found


def for_run(ask: Callable[[str, Callable[[], Any]], None], store: Store, run: str) -> None:
    ask(f"{run} show", lambda: query.show(store, run))
    ask(f"{run} tree", lambda: query.tree(store, run, all_spans=True))
    ask(f"{run} tree drawn", lambda: to_text(render_tree(query.tree(store, run), PAGE)))
    ask(f"{run} timeline", lambda: to_text(render_timeline(query.timeline(store, run), PAGE)))
    ask(f"{run} path", lambda: query.path(store, run))
    ask(f"{run} redos", lambda: query.redos(store, run))
    ask(f"{run} waste", lambda: query.waste(store, run))
    ask(f"{run} unresolved", lambda: query.unresolved(store, run))
    ask(f"{run} root cause", lambda: query.root_cause(store, run))
    ask(f"{run} lineage", lambda: query.lineage(store, run))
    ask(f"{run} strip", lambda: query.strip(store, run))
    ask(f"{run} replay", lambda: [each.as_change() for each in query.replay(store, run).events])
    for node in query.tree(store, run, all_spans=True).nodes:
        place = f"{run}/{node.id}"
        ask(f"{place} node", lambda place=place: query.node(store, place))  # type: ignore[misc]
        if node.node_type == NodeType.STEP:
            ask(f"{place} attempts", lambda place=place: query.attempts(store, place))  # type: ignore[misc]
            ask(f"{place} diff", lambda place=place: drawn_diff(store, place))  # type: ignore[misc]


def drawn_diff(store: Store, a: str, b: str | None = None) -> tuple[query.Diff, str]:
    diff = query.diff(store, a, b)
    return diff, to_text(render_diff(diff, PAGE))


def rounded(answer: Any) -> Any:
    """Sums that a database makes in another order may differ in their last digits."""
    if isinstance(answer, float):
        return round(answer, 9)
    if isinstance(answer, list):
        return [rounded(each) for each in answer]
    if isinstance(answer, dict):
        return {key: rounded(each) for key, each in answer.items()}
    return answer


@settings(max_examples=10)
@given(spans=histories().filter(bool))
def test_all_answers_are_the_same_from_both_databases_and_whether_derived_or_not(
    shelves: tuple[Shelf, Shelf], spans: list[ReadableSpan]
) -> None:
    sqlite, postgres = shelves
    sqlite.filled(spans)
    postgres.filled(spans[::-1])
    told = answers(sqlite.store)

    assert answers(postgres.store) == told
    for shelf in shelves:
        fall_behind(shelf.url)
        assert answers(shelf.store) == told
