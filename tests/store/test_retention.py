"""What is kept: by age, by size, beside writers, forks and sessions, and in several processes at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import Link
from spandag_test_databases import connected
from sqlalchemy import func, select, text, update

from spandag import query, semconv
from spandag.export.project import project
from spandag.semconv import LinkType, NodeType
from spandag.store import StoreError, Writer, admin, open_store, schema
from spandag.store import prune as pruning
from spandag.store.check import check
from spandag.store.connect import Database
from spandag.store.due import prune_if_due
from spandag.store.heartbeat import STALE_NS, now_ns_sql
from spandag.store.limits import DAY_NS, PRUNED_AT
from spandag.store.retention import Retention, prune, remove, retention, set_retention
from spandag.store.rows import Batch
from spandag.store.tombstones import tombstoned
from spandag.store.writer import open_for_writing

from .conftest import Story, opened

S = 1_000_000_000
DAY = DAY_NS // S
TODAY = 100
NOW = TODAY * DAY_NS

ReadTables = Callable[[str], dict[str, list[dict[str, Any]]]]

# Every table that holds something of a run, and the column that says which.
OF_RUNS = {name: table.c.run_id for name, table in schema.metadata.tables.items() if "run_id" in table.c}
del OF_RUNS["tombstones"]
OF_RUNS["workflow_runs"] = schema.workflow_runs.c.id


def tell(story: Story, name: str, day: float, *, session: str | None = None, seconds: float = 10) -> Span:
    """A run that ended on a day, with a step that was redone, a call and a tool; returns its root."""
    start = day * DAY - seconds
    attributes = {} if session is None else {semconv.SESSION_ID: session}
    run = story.span(NodeType.RUN, name, start, start + seconds, attributes=attributes)
    first = story.step("fit", start + 1, start + 2, parent=run, outcome="rejected")
    again = story.step("fit", start + 3, start + 6, parent=run, first=first, attempt=2, hypothesis="again")
    prompt = '[{"role":"user","parts":[{"type":"text","content":"plan it"}]}]'
    story.chat(start + 4, start + 5, parent=again, **{semconv.GEN_AI_INPUT_MESSAGES: prompt})
    tool = story.start(NodeType.TOOL, "csv", start + 7, parent=run)
    tool.record_exception(FileNotFoundError("planets"), timestamp=int((start + 8) * S))
    story.end(tool, start + 9)
    return run


def id_of(span: Span) -> str:
    return f"{span.get_span_context().trace_id:032x}"


def write(url: str, spans: list[ReadableSpan], writer_id: str | None = None) -> None:
    writer = Writer(url)
    writer.write(project(spans, writer_id=writer_id))
    writer.settle()
    writer.close()


def names(url: str) -> set[str | None]:
    """The names of the runs that are left."""
    with open_store(url) as store:
        return {run.name for run in query.runs(store, limit=None)}


def rows_of(url: str, run_id: str) -> dict[str, int]:
    """How many rows each table has of a run."""
    with connected(url) as connection:
        counts = {
            name: connection.execute(select(func.count()).where(column == run_id)).scalar_one()
            for name, column in OF_RUNS.items()
        }
    return {name: count for name, count in counts.items() if count}


def beat(url: str, writer_id: str, age_ns: int = 0, *, closed: bool = False) -> None:
    """Have a process say that it is alive, some time before `NOW`."""
    with connected(url) as connection:
        connection.execute(
            schema.writers.insert().values(
                id=writer_id, heartbeat_at=NOW - age_ns, meta={"closed": True} if closed else None
            )
        )


# --- settings ------------------------------------------------------------------


def test_limits_are_kept_in_the_store(store_url: str) -> None:
    made = set_retention(store_url, 30, 10**9)
    assert (made.days, made.max_size, made.pruned_at) == (30, 10**9, None)
    assert retention(store_url) == made
    assert set_retention(store_url, None, 5).days is None
    assert retention(store_url).max_size == 5
    set_retention(store_url, None, None)
    assert (retention(store_url).days, retention(store_url).max_size) == (None, None)
    with connected(store_url) as connection:
        assert "retention" not in connection.execute(select(schema.settings.c.key)).scalars().all()


@pytest.mark.parametrize("limits", [(0, None), (-1, None), (None, 0)])
def test_a_limit_is_positive(store_url: str, limits: tuple[int | None, int | None]) -> None:
    with pytest.raises(ValueError, match="a limit must be more than 0"):
        set_retention(store_url, *limits)


def test_what_is_not_understood_is_no_limit(store_url: str) -> None:
    set_retention(store_url, 1, 1)
    with connected(store_url) as connection:
        connection.execute(
            update(schema.settings)
            .where(schema.settings.c.key == "retention")
            .values(value={"days": "many", "max_size": -1, "more": []})
        )
    assert (retention(store_url).days, retention(store_url).max_size) == (None, None)
    assert prune(store_url).runs == 0


def test_looking_and_pruning_create_no_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    for attempt in (lambda: retention(url), lambda: prune(url), lambda: remove(url, [])):
        with pytest.raises(StoreError, match="no store at"):
            attempt()
    assert not list(tmp_path.iterdir())


def test_without_a_limit_nothing_is_removed(store_url: str, story: Story) -> None:
    tell(story, "old", 1)
    write(store_url, story.spans)
    assert prune(store_url, now=NOW).runs == 0
    assert retention(store_url).pruned_at is None


# --- age -----------------------------------------------------------------------


def test_runs_that_ended_too_long_ago_are_removed_whole(
    store_url: str, new_store_url: Callable[[], str], read_tables: ReadTables, story: Story
) -> None:
    old = [tell(story, "oldest", 1, session="alice"), tell(story, "old", TODAY - 30.1, session="bob")]
    before = len(story.spans)
    tell(story, "young", TODAY - 29.9, session="carol")
    write(store_url, story.spans)
    set_retention(store_url, 30, None)
    pruned = prune(store_url, now=NOW)
    assert (pruned.runs, pruned.too_old, pruned.too_much, pruned.going_on) == (2, 2, 0, 0)
    # Each has five spans and a branch point, and these rows beside its own.
    assert (pruned.nodes, pruned.rows) == (12, 2 * 16)
    assert pruned.is_finished
    for run in old:
        assert rows_of(store_url, id_of(run)) == {}
    # As if they had never been.
    other = new_store_url()
    write(other, story.spans[before:])
    left = read_tables(store_url)
    tombstones = left.pop("tombstones")
    expected = read_tables(other)
    del expected["tombstones"]
    assert left == expected
    assert [(row["run_id"], row["reason"], row["nodes"]) for row in tombstones] == [
        (id_of(run), "age", 6) for run in old
    ]
    with connected(store_url) as connection:
        now = connection.execute(text(f"SELECT {now_ns_sql(connection.dialect.name)}")).scalar_one()
    assert all(now - DAY_NS < row["pruned_at"] <= now for row in tombstones)
    assert check(store_url).ok
    assert retention(store_url).pruned_at == NOW
    assert prune(store_url, now=NOW).runs == 0


def test_an_open_run_is_as_old_as_its_last_node(store_url: str, story: Story) -> None:
    silent = story.start(NodeType.RUN, "silent", 10 * DAY)
    story.chat(20 * DAY, 20 * DAY + 1, parent=silent)
    busy = story.start(NodeType.RUN, "busy", 10 * DAY)
    story.chat((TODAY - 1) * DAY, (TODAY - 1) * DAY + 1, parent=busy)
    write(store_url, [*story.spans, opened(silent), opened(busy)])
    set_retention(store_url, 30, None)
    assert prune(store_url, now=NOW).runs == 1
    assert names(store_url) == {"busy"}


def test_what_was_never_settled_and_what_is_no_run_is_removed_as_well(store_url: str, story: Story) -> None:
    root = tell(story, "unsettled", 1)
    web = story.span(None, "GET /", DAY, DAY + 1, scope="web")
    writer = Writer(store_url)
    writer.write(project(story.spans))
    with connected(store_url) as connection:
        connection.execute(
            update(schema.workflow_runs).values(
                root_node_id=None, started_at=None, ended_at=None, derived_version=0, session_id=None
            )
        )
    set_retention(store_url, 30, None)
    assert prune(store_url, now=NOW).runs == 2
    assert rows_of(store_url, id_of(root)) == rows_of(store_url, id_of(web)) == {}
    writer.close()


# --- size ----------------------------------------------------------------------


@pytest.fixture
def heavy(store_url: str, story: Story) -> list[str]:
    """Runs of 200 kB each, one a day, oldest first."""
    ids = []
    for number in range(6):
        run = tell(story, f"run {number}", number + 1)
        for call in range(10):
            content = f"{number} {call} " + "".join(f"{digit:05x}" for digit in range(4_000))
            message = f'[{{"role":"user","parts":[{{"type":"text","content":"{content}"}}]}}]'
            start = (number + 1) * DAY - 5
            story.chat(start, start + 1, parent=run, **{semconv.GEN_AI_INPUT_MESSAGES: message})
        ids.append(id_of(run))
        write(store_url, story.spans)
        story.exporter.clear()
    return ids


def test_the_oldest_go_until_the_store_is_small_enough(store_url: str, heavy: list[str]) -> None:
    whole = retention(store_url).size
    assert whole > 6 * 100_000
    max_size = int(whole * 0.6)
    set_retention(store_url, None, max_size)
    pruned = prune(store_url, now=NOW)
    assert pruned.size <= max_size
    assert retention(store_url).size == pruned.size or not store_url.startswith("sqlite")
    assert 2 <= pruned.runs <= 4
    assert (pruned.too_old, pruned.too_much, pruned.is_over) == (0, pruned.runs, False)
    assert names(store_url) == {f"run {number}" for number in range(pruned.runs, 6)}
    # No more than had to.
    assert pruned.size + 1.5 * whole / 6 > max_size
    assert 0.5 < pruned.bytes / (whole - pruned.size) < 1.5
    assert prune(store_url, now=NOW).runs == 0


def test_the_newest_run_stays_however_large_it_is(store_url: str, heavy: list[str]) -> None:
    set_retention(store_url, None, 1000)
    pruned = prune(store_url, now=NOW)
    assert (pruned.runs, pruned.is_over, pruned.is_finished) == (5, True, True)
    assert names(store_url) == {"run 5"}


def test_age_comes_before_size(store_url: str, heavy: list[str]) -> None:
    whole = retention(store_url).size
    set_retention(store_url, TODAY - 4, int(whole * 0.6))
    pruned = prune(store_url, now=NOW)
    assert (pruned.too_old, pruned.too_much) == (3, 0)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_file_becomes_smaller(store_url: str, heavy: list[str]) -> None:
    file = Path(store_url.removeprefix("sqlite:///"))
    before = file.stat().st_size
    set_retention(store_url, None, before // 2)
    pruned = prune(store_url, now=NOW)
    assert not pruned.needs_vacuum
    assert file.stat().st_size <= before // 2
    with connected(store_url) as connection:
        assert connection.execute(text("PRAGMA freelist_count")).scalar() == 0


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_file_that_others_made_says_that_it_needs_a_hand(store_url: str, heavy: list[str]) -> None:
    file = Path(store_url.removeprefix("sqlite:///"))
    with connected(store_url) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.executescript("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM")
    before = file.stat().st_size
    set_retention(store_url, None, before // 2)
    pruned = prune(store_url, now=NOW)
    assert pruned.needs_vacuum
    assert pruned.size <= before // 2
    assert file.stat().st_size >= before
    # Free space is used before the file grows, and so counts for nothing.
    assert prune(store_url, now=NOW).runs == 0


# --- what goes on --------------------------------------------------------------


@pytest.mark.parametrize("limits", [(30, None), (None, 1)])
def test_a_run_that_a_living_process_holds_open_stays(
    store_url: str, story: Story, limits: tuple[int | None, int | None]
) -> None:
    held = {
        name: story.start(NodeType.RUN, name, day * DAY)
        for day, name in enumerate(["alive", "dead", "closed"])
    }
    tell(story, "newest", TODAY)
    write(store_url, story.spans)
    for name, span in held.items():
        write(store_url, [opened(span)], writer_id=name)
    beat(store_url, "alive", STALE_NS // 2)
    beat(store_url, "dead", STALE_NS + S)
    beat(store_url, "closed", closed=True)
    set_retention(store_url, *limits)
    dry = prune(store_url, dry_run=True, now=NOW)
    pruned = prune(store_url, now=NOW)
    assert (pruned.runs, pruned.going_on) == (dry.runs, dry.going_on) == (2, 1)
    assert names(store_url) == {"alive", "newest"}
    assert remove(store_url, [id_of(held["alive"])]).runs == 1, "a clock later, nobody is alive"


def test_processes_that_are_gone_are_forgotten(store_url: str, story: Story) -> None:
    held = story.start(NodeType.RUN, "held", TODAY * DAY)
    write(store_url, [opened(held)], writer_id="holds one")
    beat(store_url, "holds one", 2 * DAY_NS)
    beat(store_url, "silent for a day", DAY_NS + S)
    beat(store_url, "silent for an hour", DAY_NS // 24)
    beat(store_url, "closed", closed=True)
    with closing(Writer(store_url)) as writer:
        writer.beat("has lost something", dropped=3, closed=True)
    set_retention(store_url, 30, None)
    prune(store_url, now=NOW)
    with connected(store_url) as connection:
        left = set(connection.execute(select(schema.writers.c.id)).scalars())
    assert left == {"holds one", "silent for an hour", "has lost something"}
    assert check(store_url).lost_spans == 3


# --- late spans ----------------------------------------------------------------


def test_late_spans_bring_no_run_back(store_url: str, read_tables: ReadTables, story: Story) -> None:
    tell(story, "old", 1, session="alice")
    old = list(story.spans)
    write(store_url, old)
    set_retention(store_url, 30, None)
    prune(store_url, now=NOW)
    before = read_tables(store_url)
    writer = Writer(store_url)
    writer.write(project(old))
    writer.settle()
    assert writer.late_spans == len(old)
    assert read_tables(store_url) == before
    # What else is in the batch is written.
    young = tell(story, "young", TODAY)
    writer.write(project(story.spans))
    writer.settle()
    assert writer.late_spans == 2 * len(old)
    writer.close()
    assert names(store_url) == {"young"}
    assert sum(rows_of(store_url, id_of(young)).values()) == 16
    assert [row["id"] for row in read_tables(store_url)["workflow_runs"]] == [id_of(young)]
    assert check(store_url).ok


def test_spans_that_wait_for_the_removal_are_late(store_url: str, story: Story) -> None:
    run = tell(story, "old", 1)
    write(store_url, story.spans[:3])
    writer = Writer(store_url)
    writer.settle()
    waiting = threading.Thread(target=lambda: writer.write(project(story.spans)))
    with opened_database(store_url) as database:
        removal = pruning._Pruning(database, NOW, 60, None)
        with database.engine.begin() as connection:
            assert removal.take(connection, id_of(run), "age", NOW) is not None
            waiting.start()
            # Until it waits, as far as one can know.
            waiting.join(0.5)
            assert waiting.is_alive()
        waiting.join(30)
    assert writer.late_spans == len(story.spans)
    writer.close()
    assert rows_of(store_url, id_of(run)) == {}


def test_spans_that_come_at_the_same_moment_bring_no_run_back(store_url: str, story: Story) -> None:
    runs = [tell(story, f"run {number}", number + 1) for number in range(12)]
    batches: list[Batch] = [project([span]) for span in story.spans]
    write(store_url, story.spans[: len(story.spans) // 2])
    set_retention(store_url, 30, None)
    done = threading.Event()
    problems: list[BaseException] = []
    start = threading.Barrier(3)

    def go_on(number: int) -> None:
        writer = Writer(store_url)
        try:
            start.wait(30)
            while not done.is_set():
                for batch in batches[number::2]:
                    writer.write(batch)
            writer.settle()
        except BaseException as error:
            problems.append(error)
        finally:
            writer.close()

    threads = [threading.Thread(target=go_on, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    start.wait(30)
    try:
        for _ in range(3):
            prune(store_url, now=NOW)
        set_retention(store_url, 30, None)
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
    assert problems == []
    prune(store_url, now=NOW)
    assert {id_of(run): rows_of(store_url, id_of(run)) for run in runs} == {id_of(run): {} for run in runs}
    with connected(store_url) as connection:
        assert tombstoned(connection, [id_of(run) for run in runs]) == {id_of(run) for run in runs}
        assert tombstoned(connection, ["f" * 32]) == tombstoned(connection, []) == set()
    assert check(store_url).ok


# --- forks and sessions --------------------------------------------------------


def test_a_fork_outlives_the_run_that_it_was_forked_from(store_url: str, story: Story) -> None:
    parent = tell(story, "parent", 1)
    link = Link(parent.get_span_context(), {semconv.SPANDAG_LINK_TYPE: LinkType.FORK_OF})
    start = (TODAY - 1) * DAY
    fork = story.span(NodeType.RUN, "fork", start, start + 1, links=(link,))
    write(store_url, story.spans)
    set_retention(store_url, 30, None)
    assert prune(store_url, now=NOW).runs == 1
    with connected(store_url) as connection:
        [run] = connection.execute(select(schema.workflow_runs)).all()
        assert (run.id, run.branch_parent_id, run.root_run_id) == (id_of(fork), id_of(parent), id_of(parent))
        [branch] = connection.execute(text("SELECT * FROM v_branch_tree")).all()
    assert (branch.kind, branch.parent_id, branch.level, bool(branch.parent_pruned)) == (
        "fork",
        id_of(parent),
        0,
        True,
    )
    assert check(store_url).ok


def test_sessions_are_what_their_runs_say(store_url: str, read_tables: ReadTables, story: Story) -> None:
    tell(story, "first", 1, session="alice")
    tell(story, "second", TODAY - 1, session="alice")
    tell(story, "only", 1, session="bob")
    write(store_url, story.spans)
    set_retention(store_url, 30, None)
    prune(store_url, now=NOW)
    [session] = read_tables(store_url)["sessions"]
    assert (session["id"], session["name"], session["started_at"]) == (
        "alice",
        "second",
        (TODAY - 1) * DAY_NS - 10 * S,
    )


# --- in pieces -----------------------------------------------------------------


def test_a_big_run_goes_in_pieces(store_url: str, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_SLICE", 3)
    run = tell(story, "old", 1)
    write(store_url, story.spans)
    set_retention(store_url, 30, None)
    pruned = prune(store_url, now=NOW)
    assert (pruned.runs, pruned.nodes, pruned.rows) == (1, 6, 16)
    assert rows_of(store_url, id_of(run)) == {}


def test_what_one_was_stopped_at_the_next_one_finishes(
    store_url: str, story: Story, read_tables: ReadTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tell(story, "old", 1, session="alice")
    write(store_url, story.spans)
    set_retention(store_url, 30, None)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pruning, "_SLICE", 3)
        patched.setattr(pruning._Pruning, "finish", stop)
        patched.setattr(pruning._Pruning, "settle_sessions", lambda self: None)
        with pytest.raises(KeyboardInterrupt):
            prune(store_url, now=NOW)
    # Nobody sees it, and nobody takes it for damage.
    assert names(store_url) == set()
    assert rows_of(store_url, id_of(run)).keys() >= {"dag_nodes"}
    found = check(store_url)
    assert found.ok
    assert {finding.what for finding in found.findings} >= {"of runs that are being removed"}
    writer = Writer(store_url)
    writer.write(project(story.spans))
    writer.close()
    set_retention(store_url, None, None)
    assert prune(store_url, now=NOW).runs == 0
    assert rows_of(store_url, id_of(run)) == {}
    assert read_tables(store_url)["sessions"] == []


def test_several_processes_share_the_work(store_url: str, story: Story) -> None:
    runs = [tell(story, f"run {number}", number / 10) for number in range(60)]
    tell(story, "young", TODAY, session="alice")
    write(store_url, story.spans)
    set_retention(store_url, 30, None)
    code = (
        f"from spandag.store.retention import prune; p = prune({store_url!r}, now={NOW}); "
        "print(p.runs, p.nodes, p.rows)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=120) for process in started]
    assert [error for _, error in said] == [""] * 3
    counts = [tuple(map(int, out.split())) for out, _ in said]
    assert tuple(map(sum, zip(*counts, strict=True))) == (60, 60 * 6, 60 * 16)
    assert names(store_url) == {"young"}
    assert all(rows_of(store_url, id_of(run)) == {} for run in runs)
    assert check(store_url).ok


def test_runs_by_their_ids(store_url: str, story: Story) -> None:
    young, other = tell(story, "young", TODAY), tell(story, "other", 1)
    write(store_url, story.spans)
    set_retention(store_url, 30, None)
    removed = remove(store_url, [id_of(young), "f" * 32])
    assert (removed.runs, removed.nodes, removed.too_old, removed.is_over) == (1, 6, 0, False)
    assert names(store_url) == {"other"}
    with connected(store_url) as connection:
        [tombstone] = connection.execute(select(schema.tombstones)).all()
    assert (tombstone.run_id, tombstone.reason) == (id_of(young), "asked")
    assert retention(store_url).pruned_at is None
    assert rows_of(store_url, id_of(other))


def test_progress_is_told(store_url: str, story: Story) -> None:
    for number in range(3):
        tell(story, f"run {number}", number + 1)
    write(store_url, story.spans)
    set_retention(store_url, 30, None)
    told: list[tuple[int, int | None]] = []
    prune(store_url, now=NOW, report=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3)]


# --- a dry run -----------------------------------------------------------------


@pytest.mark.parametrize("limits", [(30, None), (None, 0.6), (TODAY - 2, 0.6), (None, None)])
def test_a_dry_run_changes_nothing_and_is_right(
    store_url: str, heavy: list[str], read_tables: ReadTables, limits: tuple[int | None, float | None]
) -> None:
    days, share = limits
    set_retention(store_url, days, None if share is None else int(share * retention(store_url).size))
    before, kept = read_tables(store_url), retention(store_url)
    dry = prune(store_url, dry_run=True, now=NOW)
    assert read_tables(store_url) == before
    assert retention(store_url).pruned_at is kept.pruned_at is None
    real = prune(store_url, now=NOW)
    said = ("runs", "nodes", "rows", "too_old", "too_much", "going_on", "max_size", "is_over")
    assert [getattr(dry, name) for name in said] == [getattr(real, name) for name in said]
    assert (dry.dry_run, real.dry_run) == (True, False)
    assert abs(dry.bytes - real.bytes) <= 0.5 * real.bytes


def test_a_dry_run_leaves_an_older_store_as_it_is(new_empty_url: Callable[[], str], story: Story) -> None:
    url = new_empty_url()
    tell(story, "old", 1)
    write(url, story.spans)
    set_retention(url, 30, None)
    admin.downgrade_to(url, "0001")
    assert prune(url, dry_run=True, now=NOW).runs == 1
    assert retention(url).days == 30
    assert admin.current(url).revision == "0001"


# --- once a day ----------------------------------------------------------------


@pytest.fixture
def due(store_url: str, story: Story) -> str:
    """A store with three runs that are too old by any clock."""
    for number in range(3):
        tell(story, f"run {number}", number + 1)
    write(store_url, story.spans)
    set_retention(store_url, 30, None)
    return store_url


@contextmanager
def opened_database(url: str) -> Iterator[Database]:
    database = open_for_writing(url)
    yield database
    database.engine.dispose()


def test_it_is_due_once_a_day(due: str) -> None:
    with opened_database(due) as database:
        pruned = prune_if_due(database)
        assert pruned is not None
        assert (pruned.runs, pruned.is_finished) == (3, True)
        assert prune_if_due(database) is None
        at = retention(due).pruned_at
        assert at is not None
        set_back(due, at - DAY_NS + 60 * S)
        assert prune_if_due(database) is None
        set_back(due, at - DAY_NS - S)
        assert prune_if_due(database) is not None
        # A clock that was wrong must not stop it for ever.
        set_back(due, at + 2 * DAY_NS)
        assert prune_if_due(database) is not None


def set_back(url: str, pruned_at: int) -> None:
    with connected(url) as connection:
        connection.execute(
            update(schema.settings).where(schema.settings.c.key == PRUNED_AT).values(value=pruned_at)
        )


def test_nothing_is_due_where_all_is_kept(due: str) -> None:
    set_retention(due, None, None)
    with opened_database(due) as database:
        assert prune_if_due(database) is None
    assert retention(due).pruned_at is None


def test_of_several_at_once_one_does_it(due: str) -> None:
    found = []
    start = threading.Barrier(4)

    def ask() -> None:
        with opened_database(due) as database:
            start.wait(30)
            found.append(prune_if_due(database, seconds=60))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    [pruned] = [each for each in found if each is not None]
    assert pruned.runs == 3


def test_what_there_was_no_time_for_is_due_again_at_once(due: str) -> None:
    with opened_database(due) as database:
        pruned = prune_if_due(database, seconds=0)
        assert pruned is not None
        assert (pruned.runs, pruned.is_finished) == (0, False)
        again = prune_if_due(database)
        assert again is not None
        assert (again.runs, again.is_finished) == (3, True)


def test_a_retention_is_plain_data(store_url: str) -> None:
    found = set_retention(store_url, 7, None)
    assert query.as_json(found) == {
        "store": found.store,
        "days": 7,
        "max_size": None,
        "size": found.size,
        "pruned_at": None,
    }
    assert isinstance(found, Retention)


def test_more_days_than_there_were_keep_everything(
    writer: Writer, store_url: str, redone_run: list[ReadableSpan]
) -> None:
    writer.write(project(redone_run))
    set_retention(store_url, days=10**9, max_size=None)
    assert prune(store_url, dry_run=True).runs == 0
    assert prune(store_url).runs == 0
