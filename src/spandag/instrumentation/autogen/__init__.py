"""AG2 Classic (module ``autogen``, versions 0.9 to 0.14): conversations, turns, speakers, tools, models.

Only functions that the framework reaches by attribute look-up are patched. An
agent keeps its reply functions by reference (``_reply_func_list``), and none of
those is touched: agents built before `instrument` are traced like any other, and
agents that outlive `uninstrument` keep nothing of ours.

Not seen are functions that the program holds itself: ``initiate_chats`` imported by
name before `instrument` (its chats are traced, the queue around them is not), and a
method replaced on one agent instead of in its class.
"""

from __future__ import annotations

from typing import ClassVar

from opentelemetry.trace import Tracer

from spandag.instrumentation._base import FrameworkInstrumentor, Patches

__all__ = ["AG2ClassicInstrumentor"]


class AG2ClassicInstrumentor(FrameworkInstrumentor):
    """Instruments AG2 Classic, found by its module ``autogen``, whatever the distribution is called."""

    module: ClassVar[str] = "autogen"
    supported: ClassVar[tuple[tuple[int, int], tuple[int, int]]] = ((0, 9), (0, 15))
    # The first is what is said about an unsupported version; `ag2` and forks have the same module.
    requirements: ClassVar[tuple[str, ...]] = ("autogen >= 0.9, < 0.15",)

    def _patch(self, tracer: Tracer, patches: Patches) -> None:
        # Here, not at the top: these import the framework.
        from spandag.instrumentation.autogen import (
            code,
            conversation,
            human,
            model,
            reply,
            speaker,
            threads,
            tool,
        )

        threads.install(patches)
        conversation.install(tracer, patches)
        reply.install(tracer, patches)
        speaker.install(tracer, patches)
        tool.install(tracer, patches)
        code.install(tracer, patches)
        human.install(tracer, patches)
        model.install(tracer, patches)
