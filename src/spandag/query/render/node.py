"""One node with its content."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from spandag.query.node import Message, NodeDetail
from spandag.query.render.formats import (
    DIM,
    Line,
    Page,
    cost,
    duration,
    moment,
    padded,
    tokens,
    usd,
    width_of,
)
from spandag.query.render.marks import status_cell
from spandag.query.render.reasons import kind_and_name
from spandag.query.resolve import SHORT_ID
from spandag.query.tree_node import TreeNode
from spandag.semconv import EXCEPTION_STACKTRACE, NodeType

_INDENT = "  "
_LONGEST_VALUE = 4000
# What has something to say wherever content is recorded.
_SPEAKING = frozenset({NodeType.LLM, NodeType.TOOL, NodeType.CODE})


def render_node(detail: NodeDetail, page: Page) -> list[Line]:
    """A node's summary, content, attributes, events and links."""
    node = detail.node
    lines = [*_summary(detail, page)]
    if node.error_type or node.error_message:
        lines += _section("error")
        kind = page.line(node.error_type)
        text = node.error_message or ""
        lines += [
            [(_INDENT + line, "red")]
            for line in page.lines(f"{kind}: {text}" if kind and text else kind or text)
        ]
    if detail.messages:
        for message in detail.messages:
            lines += _message(message, page)
    else:
        for title, preview in (("input", detail.input_preview), ("output", detail.output_preview)):
            if preview:
                lines += _section(title) + _block(preview, page)
        if node.node_type in _SPEAKING and not (detail.input_preview or detail.output_preview):
            lines += [[], [("no content was recorded", DIM)]]
    if detail.children:
        lines += _section("below")
        lines += [page.cut(_child(child, page)) for child in detail.children]
    if detail.attributes:
        lines += _section("attributes") + _pairs(_by_name(detail.attributes), page)
    if detail.events:
        lines += _section("events")
        for event in detail.events:
            offset = duration(node.started_at, event.timestamp) or "0ms"
            title = " ".join(p for p in (page.line(event.event_type), page.line(event.event_subtype)) if p)
            derived = f" ({event.origin})" if event.origin != "recorded" else ""
            lines.append(page.cut([(f"{_INDENT}+{offset} ", DIM), (title, "bold"), (derived, DIM)]))
            meta = dict(event.meta or {})
            # The one value that is unreadable on one line, and the one that says most.
            stacktrace = meta.pop(EXCEPTION_STACKTRACE, None)
            lines += _pairs(_by_name(meta), page, indent=_INDENT * 2)
            if stacktrace:
                lines += _block(str(stacktrace).rstrip(), page, indent=_INDENT * 2)
    if detail.links:
        lines += _section("links")
        lines += [
            page.cut(
                [
                    (f"{_INDENT}{page.line(link.link_type) or 'link'} ", DIM),
                    (f"{link.linked_run_id[:SHORT_ID]}/{link.linked_span_id}", "cyan"),
                ]
            )
            for link in detail.links
        ]
    return lines


def _summary(detail: NodeDetail, page: Page) -> list[Line]:
    node, glyphs = detail.node, page.glyphs
    kind, name = kind_and_name(node.node_type, node.name, node.step_number, page)
    title: Line = [(kind, DIM)]
    if name or kind == node.node_type:
        title += [(" ", ""), (name or "(no name)", "bold")]
    mark, style = status_cell(node.outcome or node.status, glyphs)
    title += [("  ", ""), (mark, style)]
    facts: dict[str, Any] = {
        "node": node.id,
        "run": f"{detail.run.id}  {page.line(detail.run.name)}".rstrip(),
        "path": f" {glyphs.dot} ".join(
            name or kind
            for kind, name in (
                kind_and_name(above.node_type, above.name, above.step_number, page) for above in detail.path
            )
        ),
        "agent": node.agent,
        "step": node.step_number if node.node_type == NodeType.STEP else None,
        "attempt": node.attempt,
        "disposition": node.disposition if node.disposition != "active" else None,
        "redo": node.branch_name,
        "hypothesis": node.hypothesis,
        "requested by": node.requested_by,
        "started": moment(node.started_at),
        "duration": duration(node.started_at, node.ended_at),
        "model": " ".join(
            part for part in (node.model, f"({node.provider})" if node.provider else "") if part
        ),
        "tokens": _tokens(detail),
        "cost": _cost(detail, page),
    }
    return [page.cut(title), *_pairs({name: value for name, value in facts.items() if value}, page)]


def _tokens(detail: NodeDetail) -> str:
    own, spent = detail.cost, detail.node.spent
    if own is None:
        if not spent.calls:
            return ""
        calls = f"{spent.calls:,} model call" + "s" * (spent.calls != 1)
        return f"{tokens(spent)}: {spent.input_tokens:,} in, {spent.output_tokens:,} out ({calls})"
    finer = [
        f"{number:,} {name}"
        for name, number in (
            ("read from cache", own.cache_read_tokens),
            ("written to cache", own.cache_write_tokens),
            ("for reasoning", own.reasoning_tokens),
        )
        if number
    ]
    text = f"{_number(own.input_tokens)} in, {_number(own.output_tokens)} out"
    text += f" ({', '.join(finer)})" if finer else ""
    return text if own.counted else f"{text}, counted in the call above"


def _number(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _cost(detail: NodeDetail, page: Page) -> str:
    own = detail.cost
    if own is None:
        return cost(detail.node.spent, page.glyphs)
    if own.cost_usd is None:
        return "? (no price known)"
    return f"{usd(own.cost_usd)} ({own.price_source})" if own.price_source else usd(own.cost_usd)


def _child(child: TreeNode, page: Page) -> Line:
    text, style = status_cell(child.outcome or child.status, page.glyphs)
    kind, name = kind_and_name(child.node_type, child.branch_name or child.name, child.step_number, page)
    return [
        (f"{_INDENT}{child.id if ':' in child.id else child.id[:SHORT_ID]} ", "dim cyan"),
        (f"{kind} " if name else kind, DIM),
        (name, ""),
        (f"  {text}", style),
    ]


def _section(title: str) -> list[Line]:
    return [[], [(title, "bold cyan")]]


def _by_name(values: dict[str, Any]) -> dict[str, Any]:
    """In the order in which one looks for them; databases give them by their length."""
    return dict(sorted(values.items()))


def _pairs(values: dict[str, Any], page: Page, indent: str = _INDENT) -> list[Line]:
    names = {name: page.line(name, 80) for name in values}
    width = min(max((width_of(name) for name in names.values()), default=0), 44)
    # Whole values, wrapped by the terminal: this is the place where one wants to read them.
    return [
        [
            (indent + padded(names[name], max(width, width_of(names[name]))) + "  ", DIM),
            (page.line(value if isinstance(value, str) else _compact(value), _LONGEST_VALUE), ""),
        ]
        for name, value in values.items()
    ]


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _block(text: str, page: Page, indent: str = _INDENT) -> list[Line]:
    return [[(indent + line, "")] for line in page.lines(text)]


# --- content -------------------------------------------------------------------


def _message(message: Message, page: Page) -> list[Line]:
    who = " ".join(
        part
        for part in (
            message.direction,
            message.role if message.role != message.direction else None,
            f"from {page.line(message.sender)}" if message.sender else None,
            f"to {page.line(message.recipient)}" if message.recipient else None,
        )
        if part
    )
    lines = _section(page.line(who))
    for text in message_texts(message.content):
        lines += _block(text, page)
    return lines


def message_texts(content: Any) -> Iterator[str]:
    """What a message says, part by part, in the order of its parts."""
    if isinstance(content, dict) and isinstance(content.get("parts"), list):
        for part in content["parts"]:
            yield from _part(part)
    elif isinstance(content, dict) and "type" in content:
        yield from _part(content)
    elif isinstance(content, str):
        yield content
    else:
        yield json.dumps(content, ensure_ascii=False, indent=2)


def _part(part: Any) -> Iterator[str]:
    if not isinstance(part, dict):
        yield str(part)
        return
    match part.get("type"):
        case "text":
            yield str(part.get("content", ""))
        case "reasoning":
            yield f"(reasoning) {part.get('content', '')}"
        case "tool_call":
            yield f"calls {part.get('name')}({_arguments(part.get('arguments'))})"
        case "tool_call_response":
            response = part.get("response", part.get("result"))
            yield f"result: {response if isinstance(response, str) else _compact(response)}"
        case _:
            yield _compact(part)


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, dict):
        return ", ".join(f"{name}={_compact(value)}" for name, value in arguments.items())
    return "" if arguments is None else str(arguments)
