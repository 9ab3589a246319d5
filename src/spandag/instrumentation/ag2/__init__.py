"""AG2 1.x, the module ``ag2``: agent turns, model calls, tools and questions to people."""

from __future__ import annotations

from opentelemetry.trace import Tracer

from spandag.instrumentation._base import FrameworkInstrumentor, Patches


class AG2Instrumentor(FrameworkInstrumentor):
    """Instruments AG2 1.x; AG2 Classic (the module ``autogen``) has an instrumentor of its own."""

    module = "ag2"
    supported = ((1, 0), (2, 0))
    requirements = ("ag2 >=1.0,<2",)

    def _patch(self, tracer: Tracer, patches: Patches) -> None:
        # Imported only now: these modules import ag2, which need not be installed.
        from spandag.instrumentation.ag2 import model, network, tool, turn

        turn.patch(tracer, patches)
        model.patch(tracer, patches)
        tool.patch(tracer, patches)
        network.patch(patches)
