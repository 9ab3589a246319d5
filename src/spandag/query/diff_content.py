"""What the nodes of two runs said, compared by what it means; whole texts only of what is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from sqlalchemy import Connection, select, text

from spandag.query.align import common
from spandag.query.node import Message
from spandag.query.text import decoded, parsed
from spandag.semconv import NodeType
from spandag.store import schema
from spandag.store.facts import read_meanings
from spandag.store.messages import SQL_MAY_BE_OTHERWISE, hashes_of, meaning_of, meaning_of_list

INPUT = "input"
PROMPT = "prompt"
TOOL_CALL = "tool_call"
OUTPUT = "output"

DIRECTIONS = ("system", "tools", "input", "output")

_AT_ONCE = 2_000
_SILENT: Mapping[str, bytes] = {}
_AS_MESSAGE = "message"


Said = dict[str, dict[str, bytes]]
"""By direction and node what was said, as `spandag.store.messages.meaning_of_list` has it."""


@dataclass(frozen=True, slots=True)
class MessageChange:
    """A message that is not the same on both sides.

    Attributes:
        a: In the first; None where it is only in the second.
        b: In the second; None where it is only in the first.
    """

    a: Message | None
    b: Message | None


@dataclass(frozen=True, slots=True)
class ContentChange:
    """What is not the same in what two nodes said in one direction.

    Attributes:
        what: ``input``, ``prompt``, ``tool_call`` or ``output``.
        direction: ``system``, ``tools``, ``input`` or ``output``.
        same: How many messages are the same.
        messages: Those that are not, in order.
    """

    what: str
    direction: str
    same: int
    messages: list[MessageChange]


def what_of(node_type: str, direction: str) -> str:
    """What the content of a node in a direction is: its ``input``, ``prompt``, ``tool_call`` or ``output``."""
    if direction == "output":
        return OUTPUT
    if node_type == NodeType.LLM or direction != "input":
        return PROMPT
    return TOOL_CALL if node_type in (NodeType.TOOL, NodeType.CODE) else INPUT


class Contents:
    """What two runs said; without any text, which is loaded when it is asked for.

    Args:
        connection: Of the store.
        run_a: Id of the first run.
        run_b: Id of the second run, which may be the same.
        nodes_a: Ids of the nodes of the first run that are compared; None for all.
        nodes_b: The same of the second run.

    Attributes:
        has_a: Whether the first run has any content.
        has_b: Whether the second run has.
    """

    def __init__(
        self,
        connection: Connection,
        run_a: str,
        run_b: str,
        nodes_a: Collection[str] | None,
        nodes_b: Collection[str] | None,
    ) -> None:
        self._connection = connection
        self._runs = (run_a, run_b)
        lists_a = read_meanings(connection, run_a)
        lists_b = lists_a if run_a == run_b else read_meanings(connection, run_b)
        self.has_a, self.has_b = bool(lists_a), bool(lists_b)
        self._said: tuple[Said, Said] = ({}, {})
        if self.has_a and self.has_b:
            self._said = (
                self._by_direction(run_a, lists_a, nodes_a),
                self._by_direction(run_b, lists_b, nodes_b),
            )

    def said(self) -> tuple[Said, Said]:
        """What both sides said; neither ids of tool calls nor the order of JSON's keys make a difference to it.

        Nothing where not both runs have content.
        """
        return self._said

    def changes(self, pairs: Sequence[tuple[str, str, str]]) -> list[list[ContentChange]]:
        """For each pair of nodes what is not the same, with whole texts.

        Args:
            pairs: Of each its type and the ids of both nodes.
        """
        found = self._differing(pairs)
        texts_a = self._texts(
            self._runs[0], {d for each in found for gap in each for g in gap[3] for d in g[0]}
        )
        texts_b = self._texts(
            self._runs[1], {d for each in found for gap in each for g in gap[3] for d in g[1]}
        )
        return [
            [
                ContentChange(
                    what,
                    direction,
                    same,
                    [change for gap in gaps for change in _paired(direction, gap, texts_a, texts_b)],
                )
                for what, direction, same, gaps in each
            ]
            for each in found
        ]

    def _differing(
        self, pairs: Sequence[tuple[str, str, str]]
    ) -> list[list[tuple[str, str, int, list[_Gap]]]]:
        """For each pair in what it differs: its name, the direction, how many messages are the same, the others."""
        (run_a, run_b), (said_a, said_b) = self._runs, self._said
        directions = [
            [d for d in DIRECTIONS if said_a.get(d, _SILENT).get(a) != said_b.get(d, _SILENT).get(b)]
            for _, a, b in pairs
        ]
        differing = [pair for pair, differ in zip(pairs, directions, strict=True) if differ]
        lists_a = self._lists(run_a, {a for _, a, _ in differing})
        lists_b = self._lists(run_b, {b for _, _, b in differing})
        meanings = self._meanings(run_a, set(chain.from_iterable(lists_a.values())))
        meanings.update(self._meanings(run_b, set(chain.from_iterable(lists_b.values())) - meanings.keys()))
        found: list[list[tuple[str, str, int, list[_Gap]]]] = []
        for (node_type, a, b), differ in zip(pairs, directions, strict=True):
            found.append([])
            for direction in differ:
                hashes_a, hashes_b = lists_a.get((a, direction), []), lists_b.get((b, direction), [])
                meant = [[meanings.get(h, h) for h in hashes] for hashes in (hashes_a, hashes_b)]
                same = common(*meant)
                if gaps := _gaps(hashes_a, hashes_b, same):
                    found[-1].append((what_of(node_type, direction), direction, len(same), gaps))
        return found

    def _by_direction(
        self, run_id: str, lists: Iterable[tuple[str, str, bytes | None]], node_ids: Collection[str] | None
    ) -> Said:
        found: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        unknown: list[tuple[str, str]] = []
        if node_ids is not None:
            lists = [each for each in lists if each[0] in node_ids]
        for node_id, direction, meaning in lists:
            if meaning is None:
                unknown.append((node_id, direction))
            else:
                found[direction][node_id] = meaning
        hashes = self._lists(run_id, {node_id for node_id, _ in unknown})
        meanings = self._meanings(run_id, {each for key in unknown for each in hashes.get(key, ())})
        for node_id, direction in unknown:
            meant = [meanings.get(each, each) for each in hashes.get((node_id, direction), ())]
            found[direction][node_id] = meaning_of_list(meant)
        return dict(found)

    def _lists(self, run_id: str, node_ids: Collection[str]) -> dict[tuple[str, str], list[bytes]]:
        """By node and direction the hashes of its messages."""
        table = schema.node_messages
        statement = select(table.c.node_id, table.c.direction, table.c.hashes).where(table.c.run_id == run_id)
        found: dict[tuple[str, str], list[bytes]] = {}
        for some in _in_parts(node_ids):
            for node_id, direction, hashes in self._connection.execute(
                statement.where(table.c.node_id.in_(some))
            ):
                found[node_id, direction] = hashes_of(hashes)
        return found

    def _meanings(self, run_id: str, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        """What messages mean, by their hashes, where it is not what the hash says; no text is kept."""
        table = schema.messages
        may_be_otherwise = SQL_MAY_BE_OTHERWISE[self._connection.dialect.name]
        statement = select(table.c.hash, table.c.format, table.c.content).where(
            table.c.run_id == run_id, text(f"({may_be_otherwise})")
        )
        found: dict[bytes, bytes] = {}
        for some in _in_parts(hashes):
            for digest, kind, content in self._connection.execute(statement.where(table.c.hash.in_(some))):
                found[bytes(digest)] = meaning_of(bytes(digest), kind, content)
        return found

    def _texts(self, run_id: str, hashes: Collection[bytes]) -> dict[bytes, _Text]:
        table = schema.messages
        statement = select(table.c.hash, table.c.role, table.c.format, table.c.content).where(
            table.c.run_id == run_id
        )
        found: dict[bytes, _Text] = {}
        for some in _in_parts(hashes):
            rows = self._connection.execute(statement.where(table.c.hash.in_(some)))
            found.update((bytes(row[0]), (row[1], row[2], row[3])) for row in rows)
        return found


_Key = TypeVar("_Key", str, bytes)
_Text = tuple[str | None, str, str]
_Gap = tuple[list[bytes], list[bytes]]


def _in_parts(keys: Collection[_Key]) -> Iterable[list[_Key]]:
    """As many at once as a statement takes."""
    every = list(keys)
    return (every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE))


def _gaps(a: list[bytes], b: list[bytes], same: Sequence[tuple[int, int]]) -> list[_Gap]:
    """What stands between the messages that are the same."""
    gaps = []
    before_a = before_b = 0
    for i, j in [*same, (len(a), len(b))]:
        if before_a < i or before_b < j:
            gaps.append((a[before_a:i], b[before_b:j]))
        before_a, before_b = i + 1, j + 1
    return gaps


def _paired(
    direction: str, gap: _Gap, texts_a: Mapping[bytes, _Text], texts_b: Mapping[bytes, _Text]
) -> list[MessageChange]:
    """Messages of a gap: of the same role belong together, in order."""
    a = [_message(direction, texts_a[h]) for h in gap[0] if h in texts_a]
    b = [_message(direction, texts_b[h]) for h in gap[1] if h in texts_b]
    result = []
    before_a = before_b = 0
    for i, j in [*common([m.role for m in a], [m.role for m in b]), (len(a), len(b))]:
        result += [MessageChange(message, None) for message in a[before_a:i]]
        result += [MessageChange(None, message) for message in b[before_b:j]]
        if i < len(a) and j < len(b):
            result.append(MessageChange(a[i], b[j]))
        before_a, before_b = i + 1, j + 1
    return result


def _message(direction: str, text: _Text) -> Message:
    role, kind, content = text
    shown = parsed(content) if kind == _AS_MESSAGE else decoded(content)
    return Message(direction, decoded(role), kind, shown, None, None)
