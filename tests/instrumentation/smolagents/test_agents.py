"""A run of an agent is one tree, with everything that is known about it on its spans."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry import trace
from smolagents import CodeAgent, ToolCallingAgent
from smolagents.memory import ActionStep, PlanningStep, Timing

from spandag.testing import Reply, ToolCall, Usage


def test_a_tool_calling_agent_is_a_tree_of_steps(instrumented, serve, model, tools, outline):
    server = serve(
        actor=[
            Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]),
            Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})]),
        ]
    )
    agent = ToolCallingAgent(tools=[tools.add], model=model(server, "actor"), verbosity_level=0)

    assert agent.run("1 + 2?") == "3"

    assert outline(instrumented) == [
        "invoke_agent ToolCallingAgent",
        "  run_step ToolCallingAgent",
        "    chat gpt-4o-mini",
        "    execute_tool add",
        "  run_step ToolCallingAgent",
        "    chat gpt-4o-mini",
        "    execute_tool final_answer",
    ]


def test_an_agent_has_its_identity_totals_and_content(instrumented, serve, model, tools, capture_content):
    usage = Usage(prompt=1000, completion=100, cached=400, reasoning=20)
    server = serve(actor=[Reply(tool_calls=[ToolCall("final_answer", {"answer": "42"})], usage=usage)])
    agent = ToolCallingAgent(
        tools=[tools.add],
        model=model(server, "actor"),
        name="thinker",
        description="Thinks.",
        verbosity_level=0,
    )

    agent.run("What is it?")

    span = instrumented.named("invoke_agent thinker")
    assert dict(span.attributes) == {
        "spandag.node.type": "agent",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "thinker",
        "gen_ai.agent.description": "Thinks.",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"What is it?"}]}]',
        "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"42"}],'
        '"finish_reason":"stop"}]',
        "spandag.total.input_tokens": 1000,
        "spandag.total.output_tokens": 100,
        # USD per million tokens: 0.15 in, 0.075 from the cache, 0.60 out.
        "spandag.total.cost": (600 * 0.15 + 400 * 0.075 + 100 * 0.60) / 1_000_000,
        "spandag.total.unpriced_calls": 0,
    }
    assert span.kind is trace.SpanKind.INTERNAL
    assert span.status.status_code is trace.StatusCode.UNSET
    assert not span.events


def test_a_step_says_which_it_is(instrumented, serve, model, tools):
    server = serve(actor=[Reply(tool_calls=[ToolCall("final_answer", {"answer": "42"})], usage=Usage(10, 1))])
    agent = ToolCallingAgent(
        tools=[], model=model(server, "actor", "unheard-of"), name="thinker", verbosity_level=0
    )

    agent.run("What is it?")

    assert dict(instrumented.named("run_step thinker").attributes) == {
        "spandag.node.type": "iteration",
        "gen_ai.operation.name": "run_step",
        "gen_ai.step.name": "thinker 1",
        "gen_ai.agent.name": "thinker",
        "spandag.iteration.number": 1,
        "spandag.total.input_tokens": 10,
        "spandag.total.output_tokens": 1,
        "spandag.total.unpriced_calls": 1,
    }


def test_steps_are_numbered(instrumented, serve, model, tools):
    call = Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})])
    server = serve(actor=[call, call, Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})])])

    ToolCallingAgent(tools=[tools.add], model=model(server, "actor"), verbosity_level=0).run("Go")

    numbers = [
        span.attributes["spandag.iteration.number"] for span in instrumented.spans if "run_step" in span.name
    ]
    assert numbers == [1, 2, 3]


def test_a_managed_agent_has_no_tool_around_it(instrumented, serve, model, tools, outline):
    server = serve(
        boss=[
            Reply(tool_calls=[ToolCall("helper", {"task": "add them", "additional_args": {}})]),
            Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})]),
        ],
        helper=["<code>\nfinal_answer(add(1, 2))\n</code>"],
    )
    helper = CodeAgent(
        tools=[tools.add],
        model=model(server, "helper"),
        name="helper",
        description="Helps.",
        verbosity_level=0,
    )
    boss = ToolCallingAgent(
        tools=[], model=model(server, "boss"), managed_agents=[helper], name="boss", verbosity_level=0
    )

    boss.run("Go")

    assert outline(instrumented) == [
        "invoke_agent boss",
        "  run_step boss",
        "    chat gpt-4o-mini",
        "    invoke_agent helper",
        "      run_step helper",
        "        chat gpt-4o-mini",
        "        execute_tool python_interpreter",
        "          execute_tool add",
        "          execute_tool final_answer",
        "  run_step boss",
        "    chat gpt-4o-mini",
        "    execute_tool final_answer",
    ]
    assert instrumented.named("invoke_agent boss").attributes["spandag.node.type"] == "agent"
    assert instrumented.named("invoke_agent helper").attributes["spandag.node.type"] == "sub_agent"
    counted = server.counted()
    total = instrumented.named("invoke_agent boss").attributes
    assert total["spandag.total.input_tokens"] == counted.input_tokens
    assert total["spandag.total.output_tokens"] == counted.output_tokens


def test_an_agent_that_code_calls_is_below_that_code(instrumented, serve, model, tools, outline):
    server = serve(
        boss=["<code>\nreport = helper('add them')\nfinal_answer(report)\n</code>"],
        helper=[Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})])],
    )
    helper = ToolCallingAgent(
        tools=[], model=model(server, "helper"), name="helper", description="Helps.", verbosity_level=0
    )
    boss = CodeAgent(
        tools=[], model=model(server, "boss"), managed_agents=[helper], name="boss", verbosity_level=0
    )

    boss.run("Go")

    assert outline(instrumented) == [
        "invoke_agent boss",
        "  run_step boss",
        "    chat gpt-4o-mini",
        "    execute_tool python_interpreter",
        "      invoke_agent helper",
        "        run_step helper",
        "          chat gpt-4o-mini",
        "          execute_tool final_answer",
        "      execute_tool final_answer",
    ]


def test_an_agent_that_is_continued_is_a_second_agent_span(instrumented, serve, model, outline):
    answer = Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})])
    server = serve(actor=[answer, answer])
    agent = ToolCallingAgent(tools=[], model=model(server, "actor"), name="thinker", verbosity_level=0)

    agent.run("Go")
    agent.run("Go on", reset=False)

    assert [line for line in outline(instrumented) if line.startswith("invoke")] == [
        "invoke_agent thinker"
    ] * 2


def test_a_plan_is_a_node_of_its_own(instrumented, serve, model, outline, capture_content):
    server = serve(
        actor=["1. Answer.", Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})])],
    )
    seen: list[str] = []
    agent = ToolCallingAgent(
        tools=[],
        model=model(server, "actor"),
        name="thinker",
        planning_interval=3,
        step_callbacks={PlanningStep: lambda step, agent: seen.append(trace.get_current_span().name)},
        verbosity_level=0,
    )

    agent.run("Go")

    assert outline(instrumented) == [
        "invoke_agent thinker",
        "  plan thinker",
        "    chat gpt-4o-mini",
        "  run_step thinker",
        "    chat gpt-4o-mini",
        "    execute_tool final_answer",
    ]
    attributes = dict(instrumented.named("plan thinker").attributes)
    assert "1. Answer." in attributes.pop("spandag.output")
    assert attributes.pop("spandag.total.input_tokens") > 0
    assert attributes.pop("spandag.total.output_tokens") > 0
    assert attributes.pop("spandag.total.cost") > 0
    assert attributes == {
        "spandag.node.type": "planning",
        "gen_ai.operation.name": "plan",
        "gen_ai.agent.name": "thinker",
        "spandag.total.unpriced_calls": 0,
    }
    # What a human is asked about a plan belongs to the plan.
    assert seen == ["plan thinker"]


def test_callbacks_run_within_their_step(instrumented, serve, model, recorder):
    server = serve(actor=[Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})])])
    spans: list[Any] = []
    agent = ToolCallingAgent(
        tools=[],
        model=model(server, "actor"),
        name="thinker",
        step_callbacks=[lambda step, agent: spans.append(trace.get_current_span())],
        verbosity_level=0,
    )

    agent.run("Go")

    assert [span.name for span in spans] == ["run_step thinker"]


def test_two_threads_are_two_traces(instrumented, serve, model, tools):
    def reply(request: Any) -> Reply:
        return Reply("<code>\nfinal_answer(add(1, 2))\n</code>", delay=0.05)

    server = serve(actor=reply)
    agents = [
        CodeAgent(tools=[tools.add], model=model(server, "actor"), name=name, verbosity_level=0)
        for name in ("left", "right")
    ]

    threads = [threading.Thread(target=agent.run, args=("Go",)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    by_trace: dict[int, set[str]] = {}
    for span in instrumented.spans:
        by_trace.setdefault(span.context.trace_id, set()).add(str(span.attributes["gen_ai.agent.name"]))
    assert sorted(by_trace.values(), key=sorted) == [{"left"}, {"right"}]
    assert len(instrumented.spans) == 2 * 6


def test_a_span_of_the_users_own_is_the_parent(instrumented, serve, model):
    server = serve(actor=[Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})])])
    agent = ToolCallingAgent(tools=[], model=model(server, "actor"), name="thinker", verbosity_level=0)

    with instrumented.provider.get_tracer("user").start_as_current_span("request"):
        agent.run("Go")

    assert instrumented.tree()[:2] == ["request", "  invoke_agent thinker"]


def test_a_step_taken_by_hand_is_a_tree_of_its_own(instrumented, serve, model, outline):
    server = serve(actor=[Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})])])
    agent = ToolCallingAgent(tools=[], model=model(server, "actor"), name="thinker", verbosity_level=0)

    agent.step(ActionStep(step_number=5, timing=Timing(start_time=0.0)))

    assert outline(instrumented) == [
        "run_step thinker",
        "  chat gpt-4o-mini",
        "  execute_tool final_answer",
    ]
    assert instrumented.named("run_step thinker").attributes["spandag.iteration.number"] == 5
