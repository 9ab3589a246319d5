"""A comparison as Markdown, to be pasted into a review."""

from __future__ import annotations

import re

from spandag.query.diff import Diff
from spandag.query.render.changed_text import Pieces
from spandag.query.render.diff_facts import (
    SIDES,
    Entry,
    Text,
    divergence_line,
    entries,
    facts,
    notes,
    pair_title,
    rows_left_out,
    side_title,
    summary_line,
    texts,
    texts_that_differ,
    totals,
)
from spandag.query.render.formats import Page

# What would be more than text to Markdown, or name somebody.
_SPECIAL = re.compile(r"[\\`*_\[\]<>|~#&@$]")
_BACKTICKS = re.compile("`+")


def diff_markdown(diff: Diff, page: Page, *, limit: int | None = 20) -> str:
    """Write a comparison as Markdown.

    Args:
        diff: The comparison.
        page: Where to; its width is of no effect.
        limit: How many of the nodes that differ are shown; None for all.
    """
    blocks = []
    for name, side in zip(SIDES, (diff.a, diff.b), strict=True):
        blocks.append(f"- **{name}**: {escaped(f' {page.glyphs.dot} '.join(side_title(side, page)))}")
    text = ["\n".join(blocks)]
    rows = [("", *SIDES, "difference"), ("---", *["---:"] * 3)]
    rows += [tuple(map(escaped, row)) for row in totals(diff, page)]
    text.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    text += [f"*{escaped(note)}*" for note in notes(diff)]
    if diff.first_divergence is not None:
        what, where, above = divergence_line(diff, page)
        below = f", below {code(above)}" if above else ""
        text.append(f"**First divergence:** {escaped(what)} {page.glyphs.dot} {code(where)}{below}")
    text.append(f"{escaped(summary_line(diff))}")
    found = entries(diff)
    for entry in found[:limit]:
        text += _entry(entry, page)
    if left_out := rows_left_out(found, limit):
        text.append(f"{page.glyphs.ellipsis} {left_out} more that differ")
    return "\n\n".join(text) + "\n"


def escaped(text: str) -> str:
    """Text that is nothing but text, also within a table."""
    return _SPECIAL.sub(lambda match: "\\" + match[0], text)


def code(text: str) -> str:
    """Text as code within a line, whatever backticks are in it."""
    fence = "`" * (_longest(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _longest(text: str) -> int:
    return max((len(run) for run in _BACKTICKS.findall(text)), default=0)


def _entry(entry: Entry, page: Page) -> list[str]:
    pair = entry.pair
    if pair.a is None or pair.b is None:
        mark, what = ("+", "only in b") if pair.a is None else ("-", "only in a")
        what += f", with {entry.below} below" if entry.below else ""
    else:
        mark, what = "~", ", ".join(texts_that_differ(pair))
    told = f" {page.glyphs.dot} ".join(escaped(fact) for fact in (what, *facts(pair, page)) if fact)
    blocks = [f"#### {code(f'{mark} {pair_title(pair, page)}')}: {told}"]
    return blocks + [_fenced(text, page.glyphs.ellipsis) for text in texts(pair, page)]


def _fenced(text: Text, mark: str) -> str:
    lines = [f"@@ {text.title} @@", *([f"  {text.note}"] if text.note else [])]
    for_b: list[str] = []
    for row in text.rows:
        changed = row.a is not None and row.b is not None and not row.is_same
        if row.a is None or row.is_same:
            lines += for_b
            for_b = []
        if row.left_out:
            lines.append(f"  {mark} {row.left_out} lines that are the same")
        elif row.is_same:
            lines.append(f"  {_plain(row.a)}")
        elif changed:
            lines.append(f"- {_plain(row.a)}")
            for_b.append(f"+ {_plain(row.b)}")
        else:
            lines.append(f"- {_plain(row.a)}" if row.b is None else f"+ {_plain(row.b)}")
    lines += for_b
    if text.left_out:
        lines.append(f"  {mark} {text.left_out} more lines")
    fence = "`" * max(3, *(_longest(line) + 1 for line in lines))
    return "\n".join([f"{fence}diff", *(line.rstrip() for line in lines), fence])


def _plain(pieces: Pieces | None) -> str:
    return "".join(text for text, _ in pieces or ())
