"""Runs somebody else's generator with a node current while it works, and only then."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from spandag._guard import guard
from spandag.spans.node import Node

Y = TypeVar("Y")


def drive(
    iterable: Iterable[Y],
    start: Callable[[], Node],
    *,
    end: Callable[[Node, BaseException | None], None],
    on_item: Callable[[Y], None] | None = None,
    on_stop: Callable[[BaseException], None] | None = None,
) -> Generator[Y, Any, Any]:
    """Stand in for a generator: same items, same `send`, `throw`, `close` and return value.

    The node is started with the first step, as the generator's own body is, and
    is the current one during each step but never across a ``yield``: whoever
    consumes the items does so in a context of their own.

    Args:
        iterable: The generator; any other iterable is only iterated.
        start: Starts the node.
        end: Called once with the exception that ended the generator, if one did. What became of
            the node is its matter.
        on_item: Sees every item before the consumer does.
        on_stop: Sees what the consumer throws in, `GeneratorExit` on closing, before the generator does.
    """
    generator = iterable if isinstance(iterable, Generator) else _iterate(iterable)
    node: Node | None = None
    if is_instrumentation_enabled():
        with guard("start a span of a generator"):
            node = start()
    if node is None:
        return (yield from generator)

    error: BaseException | None = None
    step: Callable[[], Y] = partial(generator.send, None)
    try:
        while True:
            token = otel_context.attach(node.context)
            try:
                item = step()
            except StopIteration as stop:
                return stop.value
            finally:
                otel_context.detach(token)
            if on_item is not None:
                with guard("look at a generator's item"):
                    on_item(item)
            try:
                sent = yield item
            except GeneratorExit as closing:
                if on_stop is not None:
                    on_stop(closing)
                token = otel_context.attach(node.context)
                try:
                    generator.close()
                finally:
                    otel_context.detach(token)
                raise
            except BaseException as thrown:
                if on_stop is not None:
                    on_stop(thrown)
                step = partial(generator.throw, thrown)
            else:
                step = partial(generator.send, sent)
            # What the consumer drops shall not live on in this frame.
            del item
    except BaseException as failure:
        error = failure
        raise
    finally:
        with guard("end a span of a generator"):
            end(node, error)
        # The exception's traceback has this frame: no cycle.
        error = None


def _iterate(iterable: Iterable[Y]) -> Generator[Y, None, None]:
    yield from iterable
