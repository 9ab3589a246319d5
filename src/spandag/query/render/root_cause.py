"""Where a run began to go wrong."""

from __future__ import annotations

from spandag.query.render.formats import DIM, Line, Page, duration, short_moment
from spandag.query.render.marks import status_cell
from spandag.query.render.reasons import error, numbered
from spandag.query.render.tree import render_header
from spandag.query.render.unresolved import step_lines
from spandag.query.resolve import SHORT_ID
from spandag.query.root_cause import Failure, RootCause
from spandag.semconv import NodeType

_SHOWN = 10


def render_root_cause(found: RootCause, page: Page) -> list[Line]:
    """The first failure, what came before and what failed because of it; then the others."""
    lines = render_header(found.run, page)
    cause = found.cause
    if cause is None:
        lines += [[], [("nothing failed", "green")]]
    else:
        lines += [[], *page.wrapped([("root cause: ", ""), *_title(cause, page)], " " * 12)]
        lines += _details(cause, page)
        if found.before is not None:
            before = found.before
            by = f" by {page.line(before.agent_name)}" if before.agent_name else ""
            lines.append(_fact("before", f"llm {page.line(before.model)}{by}", before.node_id, page))
            if before.output_preview:
                opening, closing = page.glyphs.quotes
                lines.append(
                    page.cut(
                        [
                            ("           ", ""),
                            (f"{opening}{page.line(before.output_preview, 300)}{closing}", DIM),
                        ]
                    )
                )
        for i, above in enumerate(cause.failed_above):
            passed_on = (above.error_type, above.error_message) == (cause.error_type, cause.error_message)
            what = "" if passed_on else error(page, above.error_type, above.error_message)
            name = f"{above.node_type} {page.line(above.name)}"
            lines.append(_fact("" if i else "then", name, above.node_id, page, what))
        lines.append(page.cut([("  so       ", DIM), (_consequence(found, cause), "")]))
    if found.others:
        lines += [[], [("other failures", "bold")]]
        for other in found.others[:_SHOWN]:
            lines += page.wrapped([("  ", ""), *_title(other, page)], "    ")
            if other.failed_the_run:
                lines.append([("    the run failed because of it", "")])
        if len(found.others) > _SHOWN:
            lines.append([(f"  {page.glyphs.ellipsis} {len(found.others) - _SHOWN} more", DIM)])
    if found.rejected:
        lines += [[], [("steps that nobody accepted", "bold")]]
        for step in found.rejected[:_SHOWN]:
            lines += step_lines(step, page)
        if len(found.rejected) > _SHOWN:
            lines.append([(f"  {page.glyphs.ellipsis} {len(found.rejected) - _SHOWN} more", DIM)])
    return lines


def _title(failure: Failure, page: Page) -> Line:
    text = error(page, failure.error_type, failure.error_message)
    rejected = failure.outcome == "rejected"
    return [
        (f"{failure.node_type} {page.line(failure.name)}", "bold"),
        ("  ", ""),
        status_cell("rejected" if rejected else failure.status, page.glyphs),
        (f"  node {failure.node_id[:SHORT_ID]}", "dim cyan"),
        ("  in an attempt that was superseded" if failure.disposition == "superseded" else "", DIM),
        (f"  {text}" if text else "", "red"),
    ]


def _details(failure: Failure, page: Page) -> list[Line]:
    where = [
        f"phase {page.line(failure.phase)}" if failure.phase else "",
        f"{numbered(failure.step, failure.step_number, page)}, attempt {failure.attempt}"
        if failure.step is not None
        else "",
        f"agent {page.line(failure.agent_name)}"
        if failure.agent_name and failure.node_type not in (NodeType.AGENT, NodeType.SUB_AGENT)
        else "",
    ]
    took = duration(failure.started_at, failure.ended_at)
    lines = [
        page.cut(
            [
                ("  when     ", DIM),
                (short_moment(failure.started_at), ""),
                (f", for {took}" if took else "", ""),
            ]
        )
    ]
    if any(where):
        text = f" {page.glyphs.dot} ".join(each for each in where if each)
        lines.insert(0, page.cut([("  where    ", DIM), (text, "")]))
    return lines


def _fact(label: str, text: str, node_id: str, page: Page, failure: str = "") -> Line:
    line: Line = [(f"  {label:<8} ", DIM), (text, ""), (f"  node {node_id[:SHORT_ID]}", "dim cyan")]
    if failure:
        line.append((f"  {failure}", "red"))
    return page.cut(line)


def _consequence(found: RootCause, cause: Failure) -> str:
    if cause.failed_the_run:
        return "the run failed"
    brought_down = next((each for each in found.others if each.failed_the_run), None)
    if brought_down is None:
        return "work went on after it"
    return f"work went on after it; the run failed because of node {brought_down.node_id[:SHORT_ID]}"
