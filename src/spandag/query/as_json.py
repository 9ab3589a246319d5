"""Answers as plain JSON values, under the column names of the store."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from spandag.query.spent import Spent


def as_json(answer: Any) -> Any:
    """An answer of this package as dictionaries, lists, strings and numbers.

    What was spent stands flat beside the other fields: ``calls``, ``input_tokens``,
    ``output_tokens``, ``cost_usd`` and ``unpriced_calls``.
    """
    if is_dataclass(answer) and not isinstance(answer, type):
        result: dict[str, Any] = {}
        for field in fields(answer):
            value = getattr(answer, field.name)
            if isinstance(value, Spent):
                result.update(_flat(value))
            else:
                result[field.name] = as_json(value)
        return result
    if isinstance(answer, tuple) and hasattr(answer, "_asdict"):
        return {name: as_json(value) for name, value in answer._asdict().items()}
    if isinstance(answer, list | tuple):
        return [as_json(item) for item in answer]
    if isinstance(answer, dict):
        return {key: as_json(value) for key, value in answer.items()}
    return answer


def _flat(spent: Spent) -> dict[str, Any]:
    return {field.name: getattr(spent, field.name) for field in fields(spent)}
