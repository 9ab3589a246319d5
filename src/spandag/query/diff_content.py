"""What the nodes of two runs said, compared by hashes; whole texts only of what is asked for.

Ids of tool calls are made up anew by each model, and the keys of JSON come in any order, so what differs
in nothing else counts as the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from spandag.query.align import common
from spandag.query.node import Message
from spandag.query.text import decoded, parsed
from spandag.semconv import NodeType
from spandag.store import schema
from spandag.store.facts import read_message_lists
from spandag.store.text import to_json

INPUT = "input"
PROMPT = "prompt"
TOOL_CALL = "tool_call"
OUTPUT = "output"

DIRECTIONS = ("system", "tools", "input", "output")

_HASH_BYTES = 16
# From there on not every whole number is a float of its own.
_MOST_EXACT = 2**53
_JSON_IN_CALLS = frozenset({"arguments", "response", "result"})
# Of many hashes faster than to cut them out one by one.
_EACH_HASH = re.compile(rb".{16}", re.DOTALL)
_AT_ONCE = 2_000
_AS_MESSAGE = "message"
# How JSON begins in which something can have another order, also where it is quoted once more.
_JSON_BEGINS = ("{", "[", '"{', '"[')
# As OpenAI, Anthropic and vLLM make them; smolagents writes them into texts as well.
_CALL_ID = re.compile(r"\b(?:call_|toolu_|chatcmpl-tool-)[A-Za-z0-9_-]{8,}")
_OTHER_ID = re.compile(r'"(?:tool_call_)?id":(?!"")')

Said = dict[str, dict[str, bytes]]
"""By direction and node the hashes of what was said; neither ids of tool calls nor the order of JSON's keys
make a difference to them."""


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
        self._a, self._b = _by_direction(lists_a, nodes_a), _by_direction(lists_b, nodes_b)
        self._normal: dict[bytes, bytes] = {}

    def said(self) -> tuple[Said, Said]:
        """What both sides said; nothing where not both runs have content."""
        if not (self.has_a and self.has_b):
            return {}, {}
        blobs_a = {blob for said in self._a.values() for blob in said.values()}
        blobs_b = {blob for said in self._b.values() for blob in said.values()}
        only_a, only_b = blobs_a - blobs_b, blobs_b - blobs_a
        hashes_a = {h for blob in blobs_a for h in _hashes(blob)}
        hashes_b = {h for blob in blobs_b for h in _hashes(blob)}
        # Ids are made up anew, so what differs in them is on one side only.
        for run_id, hashes in zip(self._runs, (hashes_a - hashes_b, hashes_b - hashes_a), strict=True):
            for digest, kind, content in self._not_plain(run_id, hashes, or_(_MAY_HAVE_IDS, _IS_JSON)):
                self._normal[bytes(digest)] = _normal(kind, content)
        # Keys come in one order here and in another one there, on both sides.
        for digest, kind, content in self._not_plain(self._runs[0], hashes_a & hashes_b, _IS_JSON):
            self._normal[bytes(digest)] = _normal(kind, content)
        if not self._normal:
            return self._a, self._b
        changed = only_a | only_b | (blobs_a & self._normal.keys())
        normal = {blob: self._normalised(blob) for blob in changed}
        return _replaced(self._a, normal), _replaced(self._b, normal)

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
            normal = self._normal
            same = common([normal.get(h, h) for h in hashes_a], [normal.get(h, h) for h in hashes_b])
            gaps = _gaps(hashes_a, hashes_b, same)
            if gaps:
                yield node_type, direction, len(same), gaps

    def _normalised(self, blob: bytes) -> bytes:
        normal = self._normal
        if len(blob) == _HASH_BYTES:
            return normal.get(blob, blob)
        return b"".join([normal.get(h, h) for h in _hashes(blob)])

    def _not_plain(
        self, run_id: str, hashes: Collection[bytes], condition: ColumnElement[bool]
    ) -> Iterable[tuple[bytes, str, str]]:
        """Of some messages those in which there may be something that makes no difference."""
        table = schema.messages
        statement = select(table.c.hash, table.c.format, table.c.content).where(
            table.c.run_id == run_id, condition
        )
        if len(hashes) > _AT_ONCE:
            # Most of what the run has: to look up each of them takes longer than to read all.
            for rows in self._connection.execute(statement).partitions(_AT_ONCE):
                yield from ((digest, kind, text) for digest, kind, text in rows if digest in hashes)
        elif hashes:
            some = statement.where(table.c.hash.in_(list(hashes)))
            yield from ((digest, kind, text) for digest, kind, text in self._connection.execute(some))

    def _texts(self, run_id: str, hashes: Collection[bytes]) -> dict[bytes, _Text]:
        table = schema.messages
        wanted = list(hashes)
        found: dict[bytes, _Text] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            rows = self._connection.execute(
                select(table.c.hash, table.c.role, table.c.format, table.c.content).where(
                    table.c.run_id == run_id, table.c.hash.in_(wanted[start : start + _AT_ONCE])
                )
            )
            found.update((bytes(row[0]), (row[1], row[2], row[3])) for row in rows)
        return found


_CONTENT = schema.messages.c.content
_MAY_HAVE_IDS = or_(_CONTENT.like("%call%"), _CONTENT.like("%toolu%"))
# The keys of a message are in order already, but not those in the texts of its calls, which have ids.
_IS_JSON = and_(
    schema.messages.c.format != _AS_MESSAGE, or_(*(_CONTENT.startswith(begin) for begin in _JSON_BEGINS))
)
_Text = tuple[str | None, str, str]
_Gap = tuple[list[bytes], list[bytes]]


def _by_direction(lists: Iterable[tuple[str, str, bytes]], node_ids: Collection[str] | None) -> Said:
    found: Said = {direction: {} for direction in DIRECTIONS}
    for node_id, direction, blob in lists:
        if node_ids is None or node_id in node_ids:
            found.setdefault(direction, {})[node_id] = blob
    return {direction: said for direction, said in found.items() if said}


def _replaced(said: Said, by: Mapping[bytes, bytes]) -> Said:
    return {
        direction: {node_id: by.get(blob, blob) for node_id, blob in of_nodes.items()}
        for direction, of_nodes in said.items()
    }


def _hashes(blob: bytes) -> list[bytes]:
    return [blob] if len(blob) == _HASH_BYTES else _EACH_HASH.findall(blob)


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


def _normal(kind: str, content: str) -> bytes:
    """The hash of a message without what makes no difference."""
    content = _CALL_ID.sub("", content)
    # What else makes none is told by where it stands, which takes longer to find out.
    if kind == _AS_MESSAGE:
        if _OTHER_ID.search(content) or '"arguments":' in content:
            with suppress(ValueError, RecursionError):
                content = to_json(_without_ids(json.loads(content)), canonical=True)
    elif content.startswith(_JSON_BEGINS):
        content = to_json(_value(content), canonical=True)
    return blake2b(content.encode(), digest_size=_HASH_BYTES, person=b"without ids").digest()


def _without_ids(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    parts = message.get("parts")
    if isinstance(parts, list):
        return {**message, "parts": [_part_without_id(part) for part in parts]}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        # As providers write it.
        message = {**message, "tool_calls": [_call_without_id(call) for call in calls]}
    return _blanked(_part_without_id(message), "tool_call_id")


def _call_without_id(call: Any) -> Any:
    call = _blanked(call, "id")
    function = call.get("function") if isinstance(call, dict) else None
    return {**call, "function": _with_values(function)} if isinstance(function, dict) else call


def _part_without_id(part: Any) -> Any:
    if isinstance(part, dict) and part.get("type") in ("tool_call", "tool_call_response"):
        return _with_values(_blanked(part, "id"))
    return part


def _with_values(called: dict[str, Any]) -> dict[str, Any]:
    """A call with its arguments, or its result, as what they mean."""
    return {name: _value(given) if name in _JSON_IN_CALLS else given for name, given in called.items()}


def _value(given: Any) -> Any:
    """What JSON means, or a text that is JSON; any other text is itself, and 1.0 is 1."""
    with suppress(ValueError, RecursionError):
        if isinstance(given, str) and given.startswith(_JSON_BEGINS):
            return _value(json.loads(given))
        return _with_whole_numbers(given)
    return given


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_whole_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MOST_EXACT:
        return int(value)
    return value


def _blanked(value: Any, key: str) -> Any:
    return {**value, key: ""} if isinstance(value, dict) and key in value else value
