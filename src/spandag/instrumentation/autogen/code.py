"""``execute_code_blocks``: code that an agent runs, by a code executor or in the legacy way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autogen.agentchat.conversable_agent import ConversableAgent
from autogen.coding import LocalCommandLineCodeExecutor
from opentelemetry.trace import Tracer

from spandag import semconv
from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation.autogen.turn import begin_within_turn
from spandag.semconv import NodeType
from spandag.spans.node import Node
from spandag.spans.operations import set_tool_result, start_tool

_FAILED = "nonzero_exit"


def install(tracer: Tracer, patches: Patches) -> None:
    """Open ``execute_tool`` spans for code."""

    def execute_code_blocks(
        wrapped: Callable[..., Any], executor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin_within_turn("start a code execution", lambda: _begin(tracer, args, kwargs))
        if node is None:
            return wrapped(*args, **kwargs)
        with node:
            result = wrapped(*args, **kwargs)
            _record(node, result)
            return result

    overrides = Overrides(patches, {"execute_code_blocks": execute_code_blocks})
    overrides.follow(ConversableAgent)
    overrides.follow(LocalCommandLineCodeExecutor)

    def generate_reply(
        wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        # Executors have no class in common, so each is covered before it is first used.
        with guard("instrument a code executor"):
            executor = getattr(agent, "_code_executor", None)
            if executor is not None:
                overrides.cover(type(executor))
        return wrapped(*args, **kwargs)

    patches.wrap(ConversableAgent, "generate_reply", generate_reply)
    patches.wrap(ConversableAgent, "a_generate_reply", generate_reply)


def _begin(tracer: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node:
    blocks = [_language_and_code(block) for block in kwargs.get("code_blocks", args[0] if args else ())]
    languages = dict.fromkeys(language for language, _ in blocks if language)
    return start_tool(
        tracer,
        ", ".join(languages) or "code",
        node_type=NodeType.CODE,
        arguments=lambda: [{"language": language, "code": code} for language, code in blocks],
    )


def _language_and_code(block: Any) -> tuple[str, str]:
    # The legacy way has pairs, executors have objects.
    language, code = block if isinstance(block, tuple | list) else (block.language, block.code)
    return (language or "").lower(), code


def _record(node: Node, result: Any) -> None:
    with guard("record a code execution"):
        exit_code, output = result if isinstance(result, tuple) else (result.exit_code, result.output)
        node.set_attribute(semconv.PROCESS_EXIT_CODE, exit_code)
        set_tool_result(node, lambda: output)
        if exit_code != 0:
            # What the code printed is content; the span says that it failed, and how.
            node.fail_as(_FAILED, f"exit code {exit_code}")
