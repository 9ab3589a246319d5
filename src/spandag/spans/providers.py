"""Which tracer providers are in use, for whoever wants to listen to their spans.

OpenTelemetry tells nobody when a provider is set, and it can be set after the frameworks were
patched. So each span that spandag starts looks whether it is another one than before.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.trace import TracerProvider

from spandag._guard import guard

_listeners: list[Callable[[TracerProvider], None]] = []
_known: TracerProvider | None = None
# Those that were named, beside the global one.
_named: weakref.WeakSet[TracerProvider] = weakref.WeakSet()


def on_use(listener: Callable[[TracerProvider], None]) -> None:
    """Call a function with each provider that is in use, from the next span on; it may be called again.

    Args:
        listener: Must be quick; one that is given again is not added again.
    """
    global _known
    if listener not in _listeners:
        _listeners.append(listener)
    # What was known was not known to this one.
    _known = None


def in_use(provider: TracerProvider | None = None) -> None:
    """Note a provider that spans of ours go to.

    Args:
        provider: The global one by default.
    """
    global _known
    if provider is not None:
        with guard("remember a tracer provider"):
            _named.add(provider)
    if not _listeners:
        return
    if provider is None:
        provider = trace.get_tracer_provider()
        if provider is _known:
            return
        _known = provider
    for listener in _listeners:
        with guard("listen to a tracer provider"):
            listener(provider)


def look_again() -> None:
    """Tell the listeners once more of every provider that is in use: they know more of it than before."""
    for provider in [*_named, trace.get_tracer_provider()]:
        for listener in _listeners:
            with guard("listen to a tracer provider"):
                listener(provider)
