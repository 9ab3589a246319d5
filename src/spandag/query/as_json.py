"""Answers as plain JSON values, under the column names of the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from spandag.query.spent import Spent
from spandag.query.tree_node import TreeNode
from spandag.semconv import NodeType


def as_json(answer: Any) -> Any:
    """An answer of this package as dictionaries, lists, strings and numbers.

    What was spent stands flat beside the other fields: ``calls``, ``input_tokens``,
    ``output_tokens``, ``cost_usd`` and ``unpriced_calls``.
    """
    if is_dataclass(answer) and not isinstance(answer, type):
        return _flat(
            (field.name, getattr(answer, field.name))
            for field in fields(answer)
            if field.metadata.get("json", True)
        )
    if isinstance(answer, TreeNode):
        found = _flat((name, getattr(answer, name)) for name in answer.FIELDS)
        if answer.node_type == NodeType.LLM and not answer.spent.has_tokens:
            # As in ``v_run_tree``: not known, which is not 0.
            found.update(input_tokens=None, output_tokens=None)
        return found
    if isinstance(answer, tuple) and hasattr(answer, "_asdict"):
        return _flat(answer._asdict().items())
    if isinstance(answer, list | tuple):
        return [as_json(item) for item in answer]
    if isinstance(answer, dict):
        return {key: as_json(value) for key, value in answer.items()}
    return answer


def _flat(named: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in named:
        if isinstance(value, Spent):
            result.update(value._asdict())
        else:
            result[name] = as_json(value)
    return result
