"""Which nodes may be what is searched for: what the databases can say of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, or_, select, tuple_

from spandag.query.cursors import Place
from spandag.query.matching import Wanted
from spandag.query.search_filter import Filter
from spandag.query.search_runs import Candidate
from spandag.store import schema
from spandag.store.messages import hashes_of
from spandag.store.rows import BRANCH_POINT_PREFIX


class Suspect(NamedTuple):
    """A node that may be a hit; where its message is what may be, by which."""

    run: Candidate
    started_at: int
    id: str
    messages: tuple[tuple[str, bytes], ...]

    @property
    def place(self) -> Place:
        """Where it is in the answer."""
        return Place(self.run.started_at, self.run.id, self.started_at, self.id)


class Suspects:
    """Nodes that may be hits.

    Args:
        connection: Of the store.
        wanted: The text; None where nodes are only filtered.
        filters: What else has to hold.
        after: Where the page before ended.
    """

    def __init__(
        self, connection: Connection, wanted: Wanted | None, filters: Filter, after: Place | None
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._filters = filters
        self._after = after

    def of(self, runs: Sequence[Candidate], most: int) -> list[Suspect]:
        """Those of some runs, in the order of the answer.

        Args:
            runs: Up to date.
            most: How many of a run are enough where there is no text to check.
        """
        by_run = {run.id: run for run in runs}
        found: dict[tuple[str, str], Suspect] = {}
        if self._wanted is None:
            # There is nothing to check but what the database has checked, and what an error says.
            enough = most if self._filters.error is None else None
            for run in runs:
                for run_id, node_id, started_at in self._rows([run], most=enough):
                    found[run_id, node_id] = Suspect(by_run[run_id], started_at, node_id, ())
        else:
            nodes = schema.dag_nodes.c
            says = or_(
                self._wanted.may_be_in(
                    self._connection,
                    nodes.name,
                    nodes.agent,
                    nodes.model,
                    nodes.error_type,
                    nodes.error_message,
                ),
                self._wanted.may_be_in_json(self._connection, nodes.input_preview, nodes.output_preview),
            )
            others = self._roots(runs) | self._redos(runs)
            for condition in (says, *((nodes.id.in_(sorted(others)),) if others else ())):
                for run_id, node_id, started_at in self._rows(runs, condition):
                    found[run_id, node_id] = Suspect(by_run[run_id], started_at, node_id, ())
            for (run_id, node_id, started_at), of_node in self._messages(list(by_run)).items():
                found[run_id, node_id] = Suspect(by_run[run_id], started_at, node_id, tuple(of_node))
        order = {run.id: i for i, run in enumerate(runs)}
        suspects = sorted(found.values(), key=lambda each: (each.started_at, each.id), reverse=True)
        suspects.sort(key=lambda each: order[each.run.id])
        return suspects

    def _rows(self, runs: Sequence[Candidate], *conditions: Any, most: int | None = None) -> Any:
        nodes = schema.dag_nodes.c
        query = select(nodes.run_id, nodes.id, nodes.started_at).where(
            nodes.run_id.in_([run.id for run in runs]),
            *self._filters.conditions,
            *conditions,
            self._is_to_come(),
        )
        if most is not None:
            query = query.order_by(nodes.started_at.desc(), nodes.id.desc()).limit(most)
        return self._connection.execute(query).all()

    def _is_to_come(self) -> Any:
        nodes = schema.dag_nodes.c
        if self._after is None or self._after.started_at is None:
            return and_(True)
        earlier = tuple_(nodes.started_at, nodes.id) < tuple_(self._after.started_at, self._after.node_id)
        return (nodes.run_id != self._after.run_id) | earlier

    def _roots(self, runs: Sequence[Candidate]) -> set[str]:
        """The root nodes of runs whose name or task has the text."""
        assert self._wanted is not None
        return {
            run.root_node_id
            for run in runs
            if run.root_node_id and (self._wanted.is_in(run.name) or self._wanted.is_in(run.task))
        }

    def _redos(self, runs: Sequence[Candidate]) -> set[str]:
        """The redos whose hypothesis may have the text."""
        assert self._wanted is not None
        branches = schema.branches.c
        query = select(branches.branch_node_id).where(
            branches.run_id.in_([run.id for run in runs]),
            self._wanted.may_be_in(self._connection, branches.hypothesis),
        )
        return {
            branch_id.removeprefix(BRANCH_POINT_PREFIX)
            for branch_id in self._connection.execute(query).scalars()
        }

    def _messages(self, run_ids: list[str]) -> dict[tuple[str, str, int], list[tuple[str, bytes]]]:
        """By node the messages that may have the text, each at the first node of those that are asked for."""
        assert self._wanted is not None
        messages, lists, nodes = schema.messages.c, schema.node_messages.c, schema.dag_nodes.c
        suspicious: defaultdict[str, set[bytes]] = defaultdict(set)
        for run_id, digest in self._connection.execute(
            select(messages.run_id, messages.hash).where(
                messages.run_id.in_(run_ids), self._wanted.may_be_in_json(self._connection, messages.content)
            )
        ):
            suspicious[run_id].add(bytes(digest))
        if not suspicious:
            return {}
        where = and_(lists.run_id == nodes.run_id, lists.node_id == nodes.id)
        errors = (nodes.error_type, nodes.error_message) if self._filters.error is not None else ()
        query = (
            select(lists.run_id, lists.node_id, nodes.started_at, lists.direction, lists.hashes, *errors)
            .join_from(schema.node_messages, schema.dag_nodes, where)
            .where(lists.run_id.in_(list(suspicious)), *self._filters.conditions)
            .order_by(lists.run_id, nodes.started_at, lists.node_id, lists.direction)
        )
        found: defaultdict[tuple[str, str, int], list[tuple[str, bytes]]] = defaultdict(list)
        for row in self._connection.execute(query):
            run_id, node_id, started_at, direction, hashes = row[:5]
            to_come = suspicious[run_id]
            # A node that is not asked for must not keep a message from the first one that is.
            if not to_come or not self._filters.holds(row):
                continue
            here = to_come.intersection(hashes_of(hashes))
            to_come -= here
            if here and self._is_after(run_id, started_at, node_id):
                found[run_id, node_id, started_at] += [(direction, digest) for digest in sorted(here)]
        return found

    def _is_after(self, run_id: str, started_at: int, node_id: str) -> bool:
        after = self._after
        if after is None or after.started_at is None or run_id != after.run_id:
            return True
        return (started_at, node_id) < (after.started_at, after.node_id)
