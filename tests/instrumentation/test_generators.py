"""The driver of generators is as good as the generator, and current only while it works."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import suppress_instrumentation

from spandag.instrumentation._generators import drive
from spandag.spans.node import Node, current
from spandag.spans.operations import start_tool


@pytest.fixture
def driven(recorder: Any) -> Iterator[Any]:
    """Drive an iterable; what was seen is noted."""
    tracer = recorder.provider.get_tracer("tests")
    seen = SimpleNamespace(items=[], stops=[], ends=[])

    def end(node: Node, error: BaseException | None) -> None:
        seen.ends.append(error)
        node.end(error)

    def make(iterable: Any) -> Generator[Any, Any, Any]:
        return drive(
            iterable,
            lambda: start_tool(tracer, "work"),
            end=end,
            on_item=seen.items.append,
            on_stop=seen.stops.append,
        )

    make.seen = seen  # type: ignore[attr-defined]
    before = otel_context.get_current()
    yield make
    assert otel_context.get_current() == before


def test_items_and_the_return_value_come_through(driven):
    def work() -> Generator[int, None, str]:
        yield 1
        yield 2
        return "done"

    def consumer() -> Generator[int, None, None]:
        assert (yield from driven(work())) == "done"

    assert list(consumer()) == [1, 2]
    assert driven.seen.items == [1, 2]
    assert driven.seen.ends == [None]


def test_the_node_is_current_during_the_steps_only(driven, recorder):
    def work() -> Generator[str, None, None]:
        for _ in range(2):
            node = current()
            assert node is not None
            yield node.name

    for name in driven(work()):
        assert name == "work"
        assert current() is None
        assert recorder.spans == []
    assert [span.name for span in recorder.spans] == ["execute_tool work"]


def test_nothing_starts_before_the_first_step(driven, recorder):
    stream = driven(iter([1]))
    stream.close()

    assert driven.seen.ends == []
    assert recorder.spans == []


def test_what_is_sent_arrives(driven):
    def work() -> Generator[Any, str, None]:
        answer = yield "question"
        yield answer

    stream = driven(work())
    assert next(stream) == "question"
    assert stream.send("answer") == "answer"


def test_what_is_thrown_arrives_in_the_nodes_context(driven):
    error = LookupError("mine")
    arrived: list[tuple[LookupError, Node | None]] = []

    def work() -> Generator[str, None, None]:
        try:
            yield "a"
        except LookupError as caught:
            arrived.append((caught, current()))
        yield "b"

    stream = driven(work())
    next(stream)
    assert stream.throw(error) == "b"
    assert list(stream) == []
    [(caught, node)] = arrived
    assert caught is error
    assert node is not None
    assert driven.seen.stops == [error]
    assert driven.seen.ends == [None]


def test_what_is_raised_leaves_unchanged(driven, recorder):
    error = LookupError("mine")

    def work() -> Generator[int, None, None]:
        yield 1
        raise error

    with pytest.raises(LookupError) as caught:
        list(driven(work()))

    assert caught.value is error
    assert driven.seen.ends == [error]


def test_closing_closes_the_generator_in_the_nodes_context(driven):
    closed = []

    def work() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            closed.append(current())

    stream = driven(work())
    next(stream)
    stream.close()

    assert closed[0] is not None
    assert [type(error) for error in driven.seen.stops] == [GeneratorExit]
    assert [type(error) for error in driven.seen.ends] == [GeneratorExit]


def test_a_generator_that_is_forgotten_is_ended(driven, recorder):
    stream = driven(iter([1, 2]))
    next(stream)
    del stream
    gc.collect()

    assert [type(error) for error in driven.seen.ends] == [GeneratorExit]
    assert len(recorder.spans) == 1


def test_a_generator_that_will_not_close_raises_what_python_raises(driven):
    def work() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            yield 2

    stream = driven(work())
    next(stream)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        stream.close()

    assert [type(error) for error in driven.seen.ends] == [RuntimeError]


def test_an_iterable_is_iterated(driven):
    assert list(driven([1, 2])) == [1, 2]


def test_a_generator_of_others_context_does_not_leak_it(driven):
    def work() -> Generator[int, None, None]:
        token = otel_context.attach(otel_context.set_value("theirs", 1))
        yield 1
        otel_context.detach(token)
        yield 2

    stream = driven(work())
    next(stream)
    assert otel_context.get_value("theirs") is None
    list(stream)


def test_under_suppression_the_generator_is_left_alone(driven, recorder):
    with suppress_instrumentation():
        assert list(driven([1, 2])) == [1, 2]

    assert driven.seen.ends == []
    assert recorder.spans == []
