"""What there is to say of a comparison, whatever it is written for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from spandag.query.diff import Diff, DiffSide, NodePair
from spandag.query.diff_content import MessageChange
from spandag.query.liveness import STANDINGS
from spandag.query.node import Message
from spandag.query.render.changed_text import TextRow, alike_note, text_rows
from spandag.query.render.formats import Glyphs, Page, cost, count, duration, to_text, usd
from spandag.query.render.marks import mark_of
from spandag.query.render.node import message_texts
from spandag.query.render.reasons import error_of
from spandag.query.render.tree import node_label
from spandag.query.resolve import SHORT_ID
from spandag.query.tree_node import TreeNode
from spandag.semconv import NodeType

SIDES = ("a", "b")

_WORDS_OF = {"tool_call": "arguments", "node_type": "type"}
_IN_FACTS = frozenset({"model", "status", "outcome", "tokens", "cost"})
# Of one text; the whole is what `spandag node` shows.
_ROWS = 24


class Entry(NamedTuple):
    """A pair to be shown.

    Attributes:
        pair: The pair.
        below: How many further nodes below it only the same side has.
        path: Places in `Diff.pairs` of what is above it, from the top.
    """

    pair: NodePair
    below: int
    path: list[int]


class Text(NamedTuple):
    """A text that is not the same on both sides.

    Attributes:
        title: What it is.
        rows: Its lines.
        left_out: How many further lines there are.
        note: What one does not see in them; empty where one sees all.
    """

    title: str
    rows: list[TextRow]
    left_out: int
    note: str = ""


def entries(diff: Diff) -> list[Entry]:
    """What differs, in order; of what only one side has the topmost nodes."""
    below: dict[int, int] = {}
    tops: dict[int, int] = {}
    places: list[int] = []
    for place, pair in enumerate(diff.pairs):
        if not pair.differs:
            continue
        if pair.above is not None and pair.above in tops and not (pair.a and pair.b):
            tops[place] = tops[pair.above]
            below[tops[place]] = below.get(tops[place], 0) + 1
            continue
        if pair.a is None or pair.b is None:
            tops[place] = place
        places.append(place)
    return [Entry(diff.pairs[place], below.get(place, 0), path(diff, place)) for place in places]


def path(diff: Diff, place: int) -> list[int]:
    """The places of the pairs above one, from the top."""
    found = []
    above = diff.pairs[place].above
    while above is not None:
        found.append(above)
        above = diff.pairs[above].above
    return found[::-1]


def word(what: str) -> str:
    """What differs, as people call it."""
    return _WORDS_OF.get(what, what)


def texts_that_differ(pair: NodePair) -> list[str]:
    """What differs in a pair, as people call it, without what `facts` says."""
    return [word(what) for what in pair.differs if what not in _IN_FACTS]


def title_of(node: TreeNode, page: Page) -> str:
    """A node's type and name."""
    return to_text([node_label(node, page, several=False)]).strip()


def pair_title(pair: NodePair, page: Page) -> str:
    """The type and name of what is compared, of both where they are not the same."""
    title = title_of(pair.node, page)
    if pair.a is None or pair.b is None or pair.a.node_type == NodeType.LLM:
        return title
    before = title_of(pair.a, page)
    return title if before == title else f"{before} {arrow(page.glyphs)} {title}"


def arrow(glyphs: Glyphs) -> str:
    """Points from the first side to the second."""
    return "->" if glyphs.dot == "-" else "→"


def side_title(side: DiffSide, page: Page) -> list[str]:
    """What a side is: itself, its run, and why it was done again."""
    run = f"{page.line(side.run.name) or '(no agent in this trace)'}  run {side.run.id[:SHORT_ID]}"
    if side.node is None:
        return [run]
    title = title_of(side.node, page)
    if side.node.node_type == NodeType.STEP:
        title += f" {page.glyphs.dot} attempt {side.node.attempt or 1}"
    opening, closing = page.glyphs.quotes
    why = [f"{opening}{page.line(side.hypothesis)}{closing}"] if side.hypothesis else []
    return [title, run, *why]


def totals(diff: Diff, page: Page) -> list[tuple[str, str, str, str]]:
    """Rows of a table: what, of the first side, of the second side, and the difference."""
    a, b, more, glyphs = diff.a, diff.b, diff.difference, page.glyphs
    rows = [("status", status(a, glyphs), status(b, glyphs), "")]
    rows.append(
        (
            "duration",
            duration(a.started_at, a.ended_at),
            duration(b.started_at, b.ended_at),
            "" if more.duration_ns is None else _signed(more.duration_ns, duration(0, abs(more.duration_ns))),
        )
    )
    for what, of_a, of_b, difference in (
        ("nodes", a.nodes, b.nodes, more.nodes),
        ("redos", a.redos, b.redos, more.redos),
        ("tool calls", a.tool_calls, b.tool_calls, more.tool_calls),
        ("failed", a.failed, b.failed, more.failed),
        ("model calls", a.spent.calls, b.spent.calls, more.calls),
        ("tokens in", a.spent.input_tokens, b.spent.input_tokens, more.input_tokens),
        ("tokens out", a.spent.output_tokens, b.spent.output_tokens, more.output_tokens),
    ):
        if of_a or of_b or what == "nodes":
            rows.append((what, count(of_a), count(of_b), _signed(difference, count(abs(difference)))))
    if a.spent.calls or b.spent.calls:
        unknown = "?" if more.cost_usd is None else _signed(more.cost_usd, usd(abs(more.cost_usd)))
        rows.append(("cost", cost(a.spent, glyphs), cost(b.spent, glyphs), unknown))
    return rows


def status(side: DiffSide | TreeNode, glyphs: Glyphs) -> str:
    """The mark and word of what became of something."""
    what = side.outcome or side.status
    return f"{mark_of(what, glyphs)[0]} {what or 'unknown'}"


def _signed(number: float, text: str) -> str:
    return "" if not number else ("+" if number > 0 else "-") + text


def notes(diff: Diff) -> list[str]:
    """What one has to know to read the comparison."""
    found = []
    if not diff.has_content:
        without = [name for name, side in zip(SIDES, (diff.a, diff.b), strict=True) if not side.has_content]
        where = "either run" if len(without) == 2 else f"the run of {without[0]}"
        found.append(f"no content was recorded in {where}: structure, status, errors and tokens are compared")
    for name, other, side in (("a", "b", diff.a), ("b", "a", diff.b)):
        if side.status in STANDINGS:
            found.append(f"{name} is {side.status}: what it has not done yet is only in {other}")
    return found


def summary_line(diff: Diff) -> str:
    """How much is different."""
    if not (diff.changed or diff.only_a or diff.only_b):
        return "no difference but time"
    parts = [f"{diff.changed} changed"] if diff.changed else []
    parts += [f"{diff.only_a} only in a"] if diff.only_a else []
    parts += [f"{diff.only_b} only in b"] if diff.only_b else []
    return f"{', '.join(parts)}, {diff.same} the same but for time"


def divergence_line(diff: Diff, page: Page) -> tuple[str, str, str]:
    """Where the first divergence is: what differs, in which node, and what is above that."""
    first = diff.first_divergence
    assert first is not None
    pair = first.pair
    if pair.a is None or pair.b is None:
        what = f"only in {'b' if pair.a is None else 'a'}"
    else:
        what = word(first.what)
    above = [title_of(diff.pairs[i].node, page) for i in path(diff, first.place)]
    return what, pair_title(pair, page), f" {page.glyphs.dot} ".join(above)


def facts(pair: NodePair, page: Page) -> list[str]:
    """What differs in a pair apart from its texts, in short."""
    a, b, glyphs = pair.a, pair.b, page.glyphs
    if a is None or b is None:
        node = pair.node
        found = [status(node, glyphs), f"{count(node.spent.tokens)} tokens" if node.spent.calls else ""]
        return [fact for fact in (*found, cost(node.spent, glyphs)) if fact]
    to = arrow(glyphs)
    result = []
    if "model" in pair.differs:
        result.append(f"model {_model(a, page)} {to} {_model(b, page)}")
    if "status" in pair.differs or "outcome" in pair.differs:
        result.append(f"{status(a, glyphs)} {to} {status(b, glyphs)}")
    if "tokens" in pair.differs:
        spent = [f"{count(s.input_tokens)} in {count(s.output_tokens)} out" for s in (a.spent, b.spent)]
        result.append(f"tokens {spent[0]} {to} {spent[1]}")
    if "cost" in pair.differs:
        result.append(f"cost {cost(a.spent, glyphs) or '?'} {to} {cost(b.spent, glyphs) or '?'}")
    return result


def _model(node: TreeNode, page: Page) -> str:
    return page.line(node.model or node.name, 80) or "?"


def texts(pair: NodePair, page: Page) -> list[Text]:
    """The texts of a pair that differ."""
    a, b = pair.a, pair.b
    found: list[tuple[str, str, str]] = []
    if a is not None and b is not None:
        if "hypothesis" in pair.differs:
            found.append(("hypothesis", a.hypothesis or "", b.hypothesis or ""))
        for content in pair.content or ():
            found += [(_who(content.what, change), *_both(change)) for change in content.messages]
    if "error" in pair.differs and a is not None and b is not None:
        found.append(("error", error_of(a, page), error_of(b, page)))
    elif (a is None or b is None) and (pair.node.error_type or pair.node.error_message):
        error = error_of(pair.node, page)
        found.append(("error", "" if a is None else error, error if a is None else ""))
    result = []
    for title, text_a, text_b in found:
        rows = text_rows(text_a, text_b, page)
        left_out = max(len(rows) - _ROWS, 0)
        result.append(Text(page.line(title), rows[:_ROWS], left_out, alike_note(text_a, text_b)))
    return result


def _who(what: str, change: MessageChange) -> str:
    message = change.b or change.a
    assert message is not None
    name = word(what)
    if what == "prompt" and message.direction != "input":
        name = f"{name}: {message.direction}"
    elif message.role and what in ("prompt", "input"):
        name = f"{name}: {message.role}"
    return name


def _both(change: MessageChange) -> tuple[str, str]:
    a, b = _text(change.a), _text(change.b)
    if a == b and change.a is not None and change.b is not None:
        # What differs is nothing that is said.
        a, b = (json.dumps(m.content, ensure_ascii=False, sort_keys=True) for m in (change.a, change.b))
    return a, b


def _text(message: Message | None) -> str:
    return "" if message is None else "\n".join(message_texts(message.content))


def rows_left_out(entries: Sequence[Entry], limit: int | None) -> int:
    """How many entries are not shown."""
    return 0 if limit is None else max(len(entries) - limit, 0)
