"""Decorated generators: within their node while they work, and only then."""

from __future__ import annotations

import asyncio
import gc

import pytest

import spandag


def outcomes(recorder):
    return [
        (span.attributes["spandag.step.attempt"], span.attributes["spandag.attempt.outcome"])
        for span in recorder.spans
        if span.attributes["spandag.node.type"] == "step"
    ]


def test_a_decorated_generator_works_within_its_node_and_its_consumer_does_not(recorder, capture_content):
    @spandag.phase("planning")
    def plan(task):
        for number in range(2):
            with spandag.tool(f"think {number}"):
                pass
            yield f"{task} {number}"

    with spandag.run("report"):
        for _ in plan("go"):
            assert spandag.current().type == "run"
            with spandag.tool("consume"):
                pass
    assert recorder.tree() == [
        "invoke_workflow report",
        "  run_step planning",
        "    execute_tool think 0",
        "    execute_tool think 1",
        "  execute_tool consume",
        "  execute_tool consume",
    ]
    phase = recorder.named("run_step planning").attributes
    assert phase["spandag.input"] == '{"task":"go"}'
    assert phase["spandag.output"] == '["go 0","go 1"]'


def test_nothing_is_opened_before_the_first_item_is_taken(recorder):
    @spandag.step("rows")
    def rows():
        yield 1

    generator = rows()
    del generator
    gc.collect()
    assert recorder.spans == []


def test_what_is_sent_thrown_and_returned_goes_through(recorder):
    @spandag.step("talk")
    def talk():
        heard = yield "hello"
        try:
            yield heard.upper()
        except KeyError:
            yield "caught"
        return "bye"

    conversation = talk()
    assert next(conversation) == "hello"
    assert conversation.send("why") == "WHY"
    assert conversation.throw(KeyError("x")) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(conversation)
    assert stop.value.value == "bye"
    assert outcomes(recorder) == [(1, "accepted")]


def test_a_generator_that_rejects_is_run_again_and_its_items_follow(recorder):
    @spandag.step("write", max_redos=1)
    def write():
        feedback = spandag.current("step").feedback
        yield feedback or "draft"
        if feedback is None:
            raise spandag.Rejected("final")

    with spandag.run("report"):
        assert list(write()) == ["draft", "final"]
    assert outcomes(recorder) == [(1, "rejected"), (2, "accepted")]


def test_a_generator_that_rejects_too_often_spends_its_limit(recorder):
    @spandag.step("write", max_redos=1)
    def write():
        yield 1
        raise spandag.Rejected("no")

    with pytest.raises(spandag.RedoLimitExceeded):
        list(write())
    assert outcomes(recorder) == [(1, "rejected"), (2, "rejected")]


def test_a_generator_that_fails_fails_its_attempt(recorder):
    @spandag.step("write")
    def write():
        yield 1
        raise KeyError("boom")

    with pytest.raises(KeyError):
        list(write())
    assert outcomes(recorder) == [(1, "failed")]


def test_a_generator_that_is_left_early_is_cancelled_within_its_node(recorder):
    @spandag.step("write")
    def write():
        try:
            yield 1
        finally:
            with spandag.tool("clean up"):
                pass

    for _ in write():
        break
    gc.collect()
    assert outcomes(recorder) == [(1, "cancelled")]
    assert recorder.tree() == ["invoke_workflow write", "  run_step write", "    execute_tool clean up"]


def test_a_decorated_async_generator_is_like_a_plain_one(recorder, capture_content):
    @spandag.step("write", max_redos=1)
    async def write(topic):
        with spandag.tool("think"):
            await asyncio.sleep(0)
        feedback = spandag.current("step").feedback
        heard = yield f"{topic} {feedback or 'draft'}"
        assert heard is None
        if feedback is None:
            raise spandag.Rejected("final")

    async def main():
        items = []
        with spandag.run("report"):
            async for item in write("stars"):
                assert spandag.current().type == "run"
                items.append(item)
        return items

    assert asyncio.run(main()) == ["stars draft", "stars final"]
    assert outcomes(recorder) == [(1, "rejected"), (2, "accepted")]
    assert recorder.tree() == ["invoke_workflow report", *["  run_step write", "    execute_tool think"] * 2]
    assert recorder.spans[-2].attributes["spandag.output"] == '["stars final"]'


def test_an_async_generator_that_is_left_early_is_cancelled_within_its_node(recorder):
    @spandag.step("write")
    async def write():
        try:
            yield 1
        finally:
            with spandag.tool("clean up"):
                await asyncio.sleep(0)

    async def main():
        generator = write()
        async for _ in generator:
            break
        await generator.aclose()

    asyncio.run(main())
    assert outcomes(recorder) == [(1, "cancelled")]
    assert recorder.tree() == ["invoke_workflow write", "  run_step write", "    execute_tool clean up"]


def test_what_is_sent_and_thrown_reaches_an_async_generator(recorder):
    @spandag.agent("talker")
    async def talk():
        heard = yield "hello"
        try:
            yield heard.upper()
        except KeyError:
            yield "caught"

    async def main():
        conversation = talk()
        return [
            await conversation.asend(None),
            await conversation.asend("why"),
            await conversation.athrow(KeyError("x")),
            [item async for item in conversation],
        ]

    assert asyncio.run(main()) == ["hello", "WHY", "caught", []]
    assert recorder.tree() == ["invoke_agent talker"]


def test_a_loop_of_attempts_in_a_generator_that_is_closed_is_cancelled(recorder):
    def rows():
        for attempt in spandag.step("rows").attempts():
            with attempt:
                yield attempt.number

    generator = rows()
    assert next(generator) == 1
    generator.close()
    assert outcomes(recorder) == [(1, "cancelled")]


def test_decorators_of_generators_stack(recorder):
    @spandag.phase("outer")
    @spandag.step("inner")
    async def write():
        with spandag.tool("think"):
            yield 1

    @spandag.phase("outer")
    @spandag.step("inner")
    def plain():
        with spandag.tool("think"):
            pass
        yield 1

    async def main():
        return [item async for item in write()]

    assert (asyncio.run(main()), list(plain())) == ([1], [1])
    assert recorder.tree() == ["run_step outer", "  run_step inner", "    execute_tool think"] * 2


def test_an_async_generator_that_is_forgotten_is_ended_by_the_loop(recorder):
    @spandag.step("write")
    async def write():
        yield 1
        yield 2

    async def main():
        async for _ in write():
            break

    asyncio.run(main())
    gc.collect()
    assert outcomes(recorder) == [(1, "cancelled")]
