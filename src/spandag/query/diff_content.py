"""What the nodes of two runs said, compared by hashes; whole texts only of what is asked for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import Connection, select, text

from spandag.query.align import common
from spandag.query.diff_alike import HASH_BYTES, SQL_IS_JSON, SQL_MAY_BE_ALIKE, is_json, meanings
from spandag.query.node import Message
from spandag.query.text import decoded, parsed
from spandag.semconv import NodeType
from spandag.store import schema
from spandag.store.facts import read_message_lists, read_messages

INPUT = "input"
PROMPT = "prompt"
TOOL_CALL = "tool_call"
OUTPUT = "output"

DIRECTIONS = ("system", "tools", "input", "output")

# Of many hashes faster than to cut them out one by one.
_EACH_HASH = re.compile(rb".{16}", re.DOTALL)
_AT_ONCE = 2_000
_AS_MESSAGE = "message"


Said = dict[str, dict[str, bytes]]
"""By direction and node the hashes of what was said."""


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
        lists_a = read_message_lists(connection, run_a)
        lists_b = lists_a if run_a == run_b else read_message_lists(connection, run_b)
        self.has_a, self.has_b = bool(lists_a), bool(lists_b)
        self._sizes = (len(lists_a), len(lists_b))
        self._a, self._b = _by_direction(lists_a, nodes_a), _by_direction(lists_b, nodes_b)
        self._meanings: dict[bytes, bytes] = {}

    def said(self) -> tuple[Said, Said]:
        """What both sides said; neither ids of tool calls nor the order of JSON's keys make a difference to it.

        Nothing where not both runs have content.
        """
        if not (self.has_a and self.has_b):
            return {}, {}
        blobs_a, blobs_b = _blobs(self._a), _blobs(self._b)
        hashes_a, hashes_b = _each_hash(blobs_a), _each_hash(blobs_b)
        # Ids are made up anew, so what differs in them is on one side only. Keys come in one order here and
        # in another one there, on both sides.
        only_a, only_b = hashes_a - hashes_b, hashes_b - hashes_a
        in_a = self._maybe_alike(0, only_a, hashes_a & hashes_b)
        self._meanings = meanings(chain(in_a, self._maybe_alike(1, only_b, frozenset())))
        if not self._meanings:
            return self._a, self._b
        meaning = self._meanings.get
        of_blobs = {
            blob: meaning(blob, blob)
            if len(blob) == HASH_BYTES
            else b"".join([meaning(h, h) for h in _EACH_HASH.findall(blob)])
            for blob in blobs_a | blobs_b
        }
        return _replaced(self._a, of_blobs), _replaced(self._b, of_blobs)

    def changes(self, pairs: Sequence[tuple[str, str, str]]) -> list[list[ContentChange]]:
        """For each pair of nodes what is not the same, with whole texts.

        Args:
            pairs: Of each its type and the ids of both nodes.
        """
        found = [list(self._differing(*pair)) for pair in pairs]
        wanted_a = {d for each in found for gap in each for g in gap[3] for d in g[0]}
        wanted_b = {d for each in found for gap in each for g in gap[3] for d in g[1]}
        texts_a = self._texts(self._runs[0], wanted_a)
        texts_b = self._texts(self._runs[1], wanted_b)
        return [
            [
                ContentChange(
                    what_of(node_type, direction),
                    direction,
                    same,
                    [change for gap in gaps for change in _paired(direction, gap, texts_a, texts_b)],
                )
                for node_type, direction, same, gaps in each
            ]
            for each in found
        ]

    def _differing(self, node_type: str, a: str, b: str) -> Iterable[tuple[str, str, int, list[_Gap]]]:
        for direction in DIRECTIONS:
            raw_a = self._a.get(direction, {}).get(a, b"")
            raw_b = self._b.get(direction, {}).get(b, b"")
            if raw_a == raw_b:
                continue
            hashes_a, hashes_b = _hashes(raw_a), _hashes(raw_b)
            meaning = self._meanings.get
            same = common([meaning(h, h) for h in hashes_a], [meaning(h, h) for h in hashes_b])
            gaps = _gaps(hashes_a, hashes_b, same)
            if gaps:
                yield node_type, direction, len(same), gaps

    def _maybe_alike(
        self, side: int, only: Set[bytes], shared: Set[bytes]
    ) -> Iterable[tuple[bytes, str, str]]:
        """Of messages of a side those in which there may be something that makes no difference.

        Args:
            side: 0 for the first one, 1 for the second one.
            only: Hashes of those that the other side has not.
            shared: Hashes of those that both have, of which only JSON is wanted.
        """
        maybe_alike = SQL_MAY_BE_ALIKE[self._connection.dialect.name]
        if not (self._are_most(side, only) and self._are_most(side, shared)):
            yield from self._messages(side, only, maybe_alike)
            yield from self._messages(side, shared, SQL_IS_JSON)
            return
        for digest, kind, content in self._messages(side, only | shared, maybe_alike):
            if digest in only or is_json(kind, content):
                yield digest, kind, content

    def _are_most(self, side: int, hashes: Set[bytes]) -> bool:
        """Whether these are so many of what the run has that to look up each takes longer than to read all."""
        # A run has about half as many messages as lists of them.
        return len(hashes) > self._sizes[side] // 4

    def _messages(self, side: int, hashes: Set[bytes], condition: str) -> Iterable[tuple[bytes, str, str]]:
        """Hash, format and content of those of some messages that fulfil a condition in SQL."""
        run_id, table = self._runs[side], schema.messages
        if self._are_most(side, hashes):
            found = read_messages(self._connection, run_id, condition)
            yield from (each for each in found if each[0] in hashes)
            return
        statement = select(table.c.hash, table.c.format, table.c.content).where(
            table.c.run_id == run_id, text(f"({condition})")
        )
        for some in _in_parts(hashes):
            for digest, kind, content in self._connection.execute(statement.where(table.c.hash.in_(some))):
                yield bytes(digest), kind, content

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


_Text = tuple[str | None, str, str]
_Gap = tuple[list[bytes], list[bytes]]


def _by_direction(lists: Iterable[tuple[str, str, bytes]], node_ids: Collection[str] | None) -> Said:
    found: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    if node_ids is not None:
        lists = [each for each in lists if each[0] in node_ids]
    for node_id, direction, blob in lists:
        found[direction][node_id] = blob
    return dict(found)


def _blobs(said: Said) -> set[bytes]:
    return set(chain.from_iterable(of_nodes.values() for of_nodes in said.values()))


def _replaced(said: Said, by: Mapping[bytes, bytes]) -> Said:
    return {
        direction: {node_id: by[blob] for node_id, blob in of_nodes.items()}
        for direction, of_nodes in said.items()
    }


def _in_parts(hashes: Collection[bytes]) -> Iterable[list[bytes]]:
    """As many at once as a statement takes."""
    every = list(hashes)
    return (every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE))


def _each_hash(blobs: set[bytes]) -> set[bytes]:
    several = [blob for blob in blobs if len(blob) != HASH_BYTES]
    found = blobs.difference(several)
    for blob in several:
        found.update(_EACH_HASH.findall(blob))
    return found


def _hashes(blob: bytes) -> list[bytes]:
    return [blob] if len(blob) == HASH_BYTES else _EACH_HASH.findall(blob)


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
