"""Which spans a run has and how they nest, for every way to run an agent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ag2 import Agent, TaskConfig, tool
from ag2.tools.subagents.background import background_agent_tool
from opentelemetry import trace

from spandag.testing import Reply, Request, ToolCall

CHAT = "chat test-model"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calls(*names_and_arguments: tuple[str, dict[str, Any]]) -> Any:
    """An actor that first asks for these tools, then says what the last one returned."""

    def actor(request: Request) -> Reply:
        if request.messages[-1].role == "tool":
            return Reply(f"done: {request.last('tool')}")
        return Reply(tool_calls=[ToolCall(name, arguments) for name, arguments in names_and_arguments])

    return actor


def types(recorder: Any) -> dict[str, str]:
    return {span.name: span.attributes["spandag.node.type"] for span in recorder.spans}


def traces(recorder: Any) -> int:
    return len({span.context.trace_id for span in recorder.spans})


def test_a_tool_loop(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(calc=calls(("add", {"a": 1, "b": 2})))

    asyncio.run(Agent("calc", config=config(server, "calc"), tools=[add]).ask("1 + 2?"))

    assert recorder.tree() == ["invoke_agent calc", f"  {CHAT}", "  execute_tool add", f"  {CHAT}"]


def test_tools_that_run_at_the_same_time_have_their_own_children(
    serve: Any, config: Any, recorder: Any
) -> None:
    tracer = recorder.provider.get_tracer("user")
    both = asyncio.Barrier(2)

    @tool
    async def left() -> str:
        """Left."""
        await both.wait()
        with tracer.start_as_current_span("in left"):
            await both.wait()
        return "l"

    @tool
    async def right() -> str:
        """Right."""
        await both.wait()
        with tracer.start_as_current_span("in right"):
            await both.wait()
        return "r"

    server = serve(two=calls(("left", {}), ("right", {})))

    asyncio.run(Agent("two", config=config(server, "two"), tools=[left, right]).ask("Go"))

    assert recorder.tree() == [
        "invoke_agent two",
        f"  {CHAT}",
        "  execute_tool left",
        "    in left",
        "  execute_tool right",
        "    in right",
        f"  {CHAT}",
    ]


def test_a_tool_in_a_thread_keeps_its_place(serve: Any, config: Any, recorder: Any) -> None:
    tracer = recorder.provider.get_tracer("user")

    @tool
    def work() -> str:
        """Work."""
        with tracer.start_as_current_span("in a thread"):
            return "done"

    server = serve(one=calls(("work", {})))

    asyncio.run(Agent("one", config=config(server, "one"), tools=[work]).ask("Go"))

    assert recorder.tree() == [
        "invoke_agent one",
        f"  {CHAT}",
        "  execute_tool work",
        "    in a thread",
        f"  {CHAT}",
    ]


def test_an_agent_as_a_tool_is_a_sub_agent_below_the_tool(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(boss=calls(("task_worker", {"objective": "add"})), worker=calls(("add", {"a": 1, "b": 2})))
    worker = Agent("worker", config=config(server, "worker"), tools=[add])
    boss = Agent("boss", config=config(server, "boss"), tools=[worker.as_tool(description="Works.")])

    asyncio.run(boss.ask("Have it added"))

    assert recorder.tree() == [
        "invoke_agent boss",
        f"  {CHAT}",
        "  execute_tool task_worker",
        "    invoke_agent worker",
        f"      {CHAT}",
        "      execute_tool add",
        f"      {CHAT}",
        f"  {CHAT}",
    ]
    assert types(recorder) == {
        "invoke_agent boss": "agent",
        CHAT: "llm",
        "execute_tool task_worker": "tool",
        "invoke_agent worker": "sub_agent",
        "execute_tool add": "tool",
    }
    assert recorder.named("execute_tool add").attributes["gen_ai.agent.name"] == "worker"
    assert recorder.named("execute_tool task_worker").attributes["gen_ai.agent.name"] == "boss"


def test_subtasks_are_sub_agents_below_their_tool(serve: Any, config: Any, recorder: Any) -> None:
    def boss(request: Request) -> Reply:
        if request.messages[-1].role == "tool":
            return Reply("all done")
        if request.tools and "run_subtasks" in request.tools:
            return Reply(tool_calls=[ToolCall("run_subtasks", {"tasks": ["first", "second"]})])
        return Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})])

    server = serve(boss=boss)
    agent = Agent("boss", config=config(server, "boss"), tools=[add], tasks=TaskConfig())

    asyncio.run(agent.ask("Split it"))

    tree = [line.split("subtask-")[0] for line in recorder.tree()]
    subtask = ["    invoke_agent ", f"      {CHAT}", "      execute_tool add", f"      {CHAT}"]
    assert tree == [
        "invoke_agent boss",
        f"  {CHAT}",
        "  execute_tool run_subtasks",
        *subtask,
        *subtask,
        f"  {CHAT}",
    ]
    subtasks = [span for span in recorder.spans if span.name.startswith("invoke_agent subtask-")]
    assert [span.attributes["spandag.node.type"] for span in subtasks] == ["sub_agent", "sub_agent"]


def test_an_agent_in_the_background_is_below_the_tool_that_started_it(
    serve: Any, config: Any, recorder: Any
) -> None:
    def boss(request: Request) -> Reply:
        if request.last() == "Go":
            return Reply(tool_calls=[ToolCall("background_task_worker", {"objective": "x"})])
        return Reply("waiting")

    server = serve(boss=boss, worker=["worked"])
    worker = Agent("worker", config=config(server, "worker"))
    background = background_agent_tool(worker, description="Works meanwhile.")
    agent = Agent("boss", config=config(server, "boss"), tools=[background])

    async def until_it_has_worked() -> None:
        reply = await agent.ask("Go")
        while reply.context.stream._background_tasks:
            await asyncio.sleep(0.01)

    asyncio.run(until_it_has_worked())

    assert traces(recorder) == 1
    by_id = {span.context.span_id: span.name for span in recorder.spans}
    sub_agent = recorder.named("invoke_agent worker")
    assert by_id[sub_agent.parent.span_id] == "execute_tool background_task_worker"
    assert sub_agent.attributes["spandag.node.type"] == "sub_agent"


def test_two_asks_at_once_below_one_span_stay_apart(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=calls(("add", {"a": 1, "b": 2})), b=calls(("add", {"a": 3, "b": 4})))
    agents = [Agent(name, config=config(server, name), tools=[add]) for name in ("a", "b")]

    async def both() -> None:
        with recorder.provider.get_tracer("user").start_as_current_span("parent"):
            await asyncio.gather(*(agent.ask("Go") for agent in agents))

    asyncio.run(both())

    below = [f"    {CHAT}", "    execute_tool add", f"    {CHAT}"]
    assert recorder.tree() == ["parent", "  invoke_agent a", *below, "  invoke_agent b", *below]
    for span in recorder.spans:
        if span.name == "execute_tool add":
            assert span.attributes["gen_ai.tool.call.id"].startswith(
                f"call_{span.attributes['gen_ai.agent.name']}_"
            )


def test_two_asks_at_once_below_nothing_are_two_traces(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=["one"], b=["two"])

    async def both() -> None:
        await asyncio.gather(*(Agent(n, config=config(server, n)).ask("Go") for n in ("a", "b")))

    asyncio.run(both())

    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}", "invoke_agent b", f"  {CHAT}"]
    assert traces(recorder) == 2


def test_the_same_agent_can_run_twice_at_once(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=calls(("add", {"a": 1, "b": 2})))
    agent = Agent("a", config=config(server, "a"), tools=[add])

    async def both() -> None:
        await asyncio.gather(agent.ask("Go"), agent.ask("Go"))

    asyncio.run(both())

    run = ["invoke_agent a", f"  {CHAT}", "  execute_tool add", f"  {CHAT}"]
    assert recorder.tree() == run + run
    assert traces(recorder) == 2


def test_a_reply_that_is_asked_on_is_a_turn_of_the_same_conversation(
    serve: Any, config: Any, recorder: Any
) -> None:
    server = serve(a=["one", "two"])

    async def talk() -> None:
        reply = await Agent("a", config=config(server, "a")).ask("First")
        await reply.ask("Second")

    with recorder.provider.get_tracer("user").start_as_current_span("parent"):
        asyncio.run(talk())

    assert recorder.tree() == ["parent", "  invoke_agent a", f"    {CHAT}", "  invoke_agent a", f"    {CHAT}"]
    turns = [span for span in recorder.spans if span.name == "invoke_agent a"]
    assert len({span.attributes["gen_ai.conversation.id"] for span in turns}) == 1


def test_a_turn_with_another_configuration_names_the_model_that_is_asked(
    serve: Any, config: Any, recorder: Any
) -> None:
    server = serve(a=["one", "two"])

    async def talk() -> None:
        reply = await Agent("a", config=config(server, "a")).ask("First")
        await reply.ask("Second", config=config(server, "a", model="other-model"))

    asyncio.run(talk())

    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}", "invoke_agent a", "  chat other-model"]
    assert [
        span.attributes["gen_ai.request.model"] for span in recorder.spans if span.name == "invoke_agent a"
    ] == ["test-model", "other-model"]


@pytest.mark.parametrize("started_early", [False, True])
def test_an_observed_run_is_one_turn(serve: Any, config: Any, recorder: Any, started_early: bool) -> None:
    server = serve(a=calls(("add", {"a": 1, "b": 2})))
    agent = Agent("a", config=config(server, "a"), tools=[add])

    async def observe() -> str | None:
        with recorder.provider.get_tracer("user").start_as_current_span("parent"):
            async with agent.run("Go") as run:
                if started_early:
                    run.start()
                reply = await run.result()
                assert await run.result() is reply
                assert trace.get_current_span().name == "parent"  # type: ignore[attr-defined]
        return reply.body

    assert asyncio.run(observe()) == "done: 3"
    assert recorder.tree() == [
        "parent",
        "  invoke_agent a",
        f"    {CHAT}",
        "    execute_tool add",
        f"    {CHAT}",
    ]


def test_a_run_that_nobody_drives_is_no_turn(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=["never"])

    async def leave() -> None:
        async with Agent("a", config=config(server, "a")).run("Go"):
            pass

    asyncio.run(leave())

    assert recorder.tree() == []


def test_a_run_can_be_opened_in_one_task_and_closed_in_another(
    serve: Any, config: Any, recorder: Any
) -> None:
    server = serve(a=["fine"])

    async def across() -> str | None:
        run = Agent("a", config=config(server, "a")).run("Go")
        await asyncio.create_task(run.__aenter__())
        reply = await asyncio.create_task(run.result())
        await asyncio.create_task(run.__aexit__(None, None, None))
        return reply.body

    assert asyncio.run(across()) == "fine"
    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}"]


def test_a_resumed_turn_is_a_turn(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=calls(("add", {"a": 1, "b": 2})))
    agent = Agent("a", config=config(server, "a"), tools=[add])

    async def again() -> None:
        reply = await agent.ask("Go")
        events = list(await reply.history.get_events())
        results = next(i for i, e in enumerate(events) if type(e).__name__ == "ToolResultsEvent")
        recorder.clear()
        await agent.resume(*events[: results + 1])

    asyncio.run(again())

    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}"]


def test_an_agent_that_a_tool_asks_by_itself_is_a_sub_agent(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(outer=calls(("consult", {})), inner=["advice"])
    inner = Agent("inner", config=config(server, "inner"))

    @tool
    async def consult() -> str:
        """Consult."""
        return (await inner.ask("Advice?")).body or ""

    asyncio.run(Agent("outer", config=config(server, "outer"), tools=[consult]).ask("Go"))

    assert recorder.tree() == [
        "invoke_agent outer",
        f"  {CHAT}",
        "  execute_tool consult",
        "    invoke_agent inner",
        f"      {CHAT}",
        f"  {CHAT}",
    ]
    assert types(recorder)["invoke_agent inner"] == "sub_agent"
