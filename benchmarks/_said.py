"""What made-up agent runs say: prompts, answers, calls of tools and their results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opentelemetry.util.types import AnyValue

from spandag import semconv

Message = dict[str, Any]

_ANOTHER_MIND = 10
"""Every so many steps two runs are of different minds, from the second iteration on."""

_SYSTEM = json.dumps([{"type": "text", "content": "You fit laws to tables of planets. " * 40}])
_TOOLS = json.dumps(
    [
        {
            "type": "function",
            "name": "read_csv",
            "description": "Reads a table of planets and their periods. " * 8,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        }
    ]
)


def message(role: str, number: int, size: int) -> Message:
    """A message of so many characters, another one for each number."""
    return {"role": role, "parts": [{"type": "text", "content": words(number, size)}]}


def words(number: int, size: int) -> str:
    """So many characters, others for each number."""
    said = f"message {number}: " + " ".join(
        f"{(number + 1) * place * 2654435761 % 2**32:08x}" for place in range(size // 9)
    )
    return said[:size].ljust(size, ".")


class Conversation:
    """An agent's work at one attempt at a step: each call of the model repeats all that was said before.

    Args:
        run: Which of several runs that say the same, but for ids of calls and what they are of
            another mind about.
        step: The number of the step.
        attempt: At the step.
    """

    def __init__(self, run: int, step: int, attempt: int) -> None:
        self._number = 100 * step + 20 * attempt
        self._apart = 1_000_000 * run if step % _ANOTHER_MIND == 0 else 0
        self.task = words(self._number, 300)
        self._history: list[Message] = [message("user", self._number, 300)]
        self.call: Mapping[str, AnyValue] = {}
        self.tool: Mapping[str, AnyValue] = {}

    def go_on(self, iteration: int, call_id: str) -> None:
        """The next iteration: what its model call and its tool say is in `call` and `tool`."""
        number = self._number + 2 * iteration + (self._apart if iteration > 1 else 0)
        arguments = {"path": f"planets-{number}.csv", "columns": ["period", "axis"], "rows": 100}
        asked = {"type": "tool_call", "id": call_id, "name": "read_csv", "arguments": arguments}
        answer: Message = {
            "role": "assistant",
            "parts": [{"type": "text", "content": words(number, 200)}, asked],
        }
        result = words(number + 1, 500)
        self.call = {
            semconv.GEN_AI_SYSTEM_INSTRUCTIONS: _SYSTEM,
            semconv.GEN_AI_TOOL_DEFINITIONS: _TOOLS,
            semconv.GEN_AI_INPUT_MESSAGES: json.dumps(self._history),
            semconv.GEN_AI_OUTPUT_MESSAGES: json.dumps([{**answer, "finish_reason": "tool_calls"}]),
        }
        self.tool = {
            semconv.GEN_AI_TOOL_CALL_ARGUMENTS: json.dumps(arguments),
            semconv.GEN_AI_TOOL_CALL_RESULT: result,
        }
        response = {"type": "tool_call_response", "id": call_id, "response": result}
        self._history += [answer, {"role": "tool", "parts": [response]}]

    @property
    def result(self) -> str:
        """What came of it."""
        return words(self._number + self._apart + 19, 300)
