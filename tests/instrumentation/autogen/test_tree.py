"""Which spans a program gives, and what is below what."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import autogen
import pytest
from autogen import ConversableAgent, GroupChat, GroupChatManager, register_function
from autogen.agentchat import initiate_group_chat, run_group_chat
from autogen.agentchat.group.patterns import AutoPattern, RoundRobinPattern

from spandag.instrumentation.autogen import AG2ClassicInstrumentor
from spandag.testing import Reply, Request, ToolCall

CHAT = [
    "invoke_workflow user and helper",
    "  invoke_agent helper",
    "    chat test-model",
    "  invoke_agent user",
    "    execute_tool add",
    "  invoke_agent helper",
    "    chat test-model",
]


def below(line: str, tree: list[str]) -> list[str]:
    return [line, *(f"  {child}" for child in tree)]


@pytest.fixture
def outer(recorder: Any) -> Any:
    """A span of the user's own."""
    return lambda: recorder.provider.get_tracer("app").start_as_current_span("outer")


def test_a_chat_with_a_tool(recorder: Any, pair: Any) -> None:
    user, helper, _ = pair()
    user.initiate_chat(helper, message="2 + 3?")
    assert recorder.tree() == CHAT


def test_an_asynchronous_chat_keeps_its_model_calls(recorder: Any, pair: Any) -> None:
    user, helper, _ = pair()
    asyncio.run(user.a_initiate_chat(helper, message="2 + 3?"))
    assert recorder.tree() == CHAT


def test_agents_built_before_instrumenting_are_traced_alike(
    recorder: Any, pair: Any, instrumented: AG2ClassicInstrumentor
) -> None:
    instrumented.uninstrument()
    user, helper, _ = pair()
    instrumented.instrument(tracer_provider=recorder.provider)
    user.initiate_chat(helper, message="2 + 3?")
    assert recorder.tree() == CHAT
    recorder.clear()
    asyncio.run(user.a_initiate_chat(helper, message="2 + 3?"))
    assert recorder.tree() == CHAT


def test_a_group_chat_built_before_instrumenting_is_traced_alike(
    recorder: Any, serve: Any, agent: Any, instrumented: AG2ClassicInstrumentor
) -> None:
    instrumented.uninstrument()
    server = serve(alice=lambda _: "I am Alice.")
    user, alice = agent("user"), agent("alice", server)
    manager = GroupChatManager(
        GroupChat([user, alice], [], max_round=2, speaker_selection_method="round_robin")
    )
    instrumented.instrument(tracer_provider=recorder.provider)
    user.initiate_chat(manager, message="Hello")
    assert recorder.tree() == [
        "invoke_workflow chat_manager",
        "  select_speaker chat_manager",
        "  invoke_agent alice",
        "    chat test-model",
    ]


def test_concurrent_chats_are_a_trace_each(recorder: Any, pair: Any) -> None:
    async def both() -> None:
        first, second = pair(), pair()
        await asyncio.gather(
            first[0].a_initiate_chat(first[1], message="2 + 3?"),
            second[0].a_initiate_chat(second[1], message="2 + 3?"),
        )

    asyncio.run(both())
    traces: dict[int, list[Any]] = {}
    for span in recorder.spans:
        traces.setdefault(span.context.trace_id, []).append(span)
    assert len(traces) == 2
    for spans in traces.values():
        ids = {span.context.span_id for span in spans}
        assert len(spans) == len(CHAT)
        assert [s.name for s in spans if s.parent is None or s.parent.span_id not in ids] == [
            "invoke_workflow user and helper"
        ]


def test_run_in_a_thread_stays_below_its_caller(recorder: Any, pair: Any, outer: Any, drain: Any) -> None:
    user, helper, _ = pair()
    with outer():
        drain(user.run(helper, message="2 + 3?"))
    assert recorder.tree() == below("outer", CHAT)


def test_sequential_run_is_one_trace(recorder: Any, serve: Any, agent: Any, drain: Any) -> None:
    server = serve(writer=["A draft."], critic=["Fine."])
    user, writer, critic = agent("user"), agent("writer", server), agent("critic", server)
    queue = [
        {"recipient": writer, "message": "Write", "max_turns": 1},
        {"recipient": critic, "message": "Judge", "max_turns": 1},
    ]
    drain(*user.sequential_run(queue))
    _wait_until(lambda: len(recorder.spans) == 7)
    assert recorder.tree() == [
        "invoke_workflow sequential_run",
        "  invoke_workflow user and writer",
        "    invoke_agent writer",
        "      chat test-model",
        "  invoke_workflow user and critic",
        "    invoke_agent critic",
        "      chat test-model",
    ]


def _wait_until(condition: Any) -> None:
    """The last span ends with its thread, a moment after the last event."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_queue_of_chats_is_one_trace(recorder: Any, serve: Any, agent: Any) -> None:
    server = serve(writer=["A draft."], critic=["Fine."])
    user, writer, critic = agent("user"), agent("writer", server), agent("critic", server)
    autogen.initiate_chats(
        [
            {"sender": user, "recipient": writer, "message": "Write", "max_turns": 1},
            {"sender": user, "recipient": critic, "message": "Judge", "max_turns": 1},
        ]
    )
    assert recorder.tree() == [
        "invoke_workflow initiate_chats",
        "  invoke_workflow user and writer",
        "    invoke_agent writer",
        "      chat test-model",
        "  invoke_workflow user and critic",
        "    invoke_agent critic",
        "      chat test-model",
    ]


def test_a_nested_chat_is_below_the_turn_that_it_answers(
    recorder: Any, serve: Any, agent: Any, look: Any
) -> None:
    server = serve(expert=["Forty-two."])
    user, front, expert = agent("user"), agent("front"), agent("expert", server)
    front.register_nested_chats(
        [{"recipient": expert, "message": "What is it?", "max_turns": 1}], trigger=lambda _: True
    )
    user.initiate_chat(front, message="Ask somebody", max_turns=1)
    assert recorder.tree() == [
        "invoke_workflow user and front",
        "  invoke_agent front",
        "    invoke_workflow front and expert",
        "      invoke_agent expert",
        "        chat test-model",
    ]
    assert look.attributes(recorder.named("invoke_agent front"))["spandag.node.type"] == "agent"
    assert look.attributes(recorder.named("invoke_agent expert"))["spandag.node.type"] == "sub_agent"


def test_an_asynchronous_tool_in_a_synchronous_chat_stays_below_its_turn(recorder: Any, pair: Any) -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        with recorder.provider.get_tracer("app").start_as_current_span("inside the tool"):
            return a + b

    user, helper, _ = pair(add)
    user.initiate_chat(helper, message="2 + 3?")
    assert recorder.tree() == [*CHAT[:5], "      inside the tool", *CHAT[5:]]


def test_a_chat_inside_a_tool_is_below_it(recorder: Any, serve: Any, agent: Any, pair: Any) -> None:
    expert = agent("expert", serve(expert=["5"]))

    def add(a: int, b: int) -> str:
        return str(agent("asker").initiate_chat(expert, message=f"{a}+{b}", max_turns=1).summary)

    user, helper, _ = pair(add)
    user.initiate_chat(helper, message="2 + 3?")
    assert recorder.tree() == [
        *CHAT[:5],
        "      invoke_workflow asker and expert",
        "        invoke_agent expert",
        "          chat test-model",
        *CHAT[5:],
    ]


# --- group chats ------------------------------------------------------------------


def test_a_round_robin_hands_over_each_time_the_speaker_changes(
    recorder: Any, serve: Any, agent: Any, look: Any
) -> None:
    server = serve(alice=lambda _: "I am Alice.", bob=lambda _: "I am Bob.")
    alice, bob = agent("alice", server), agent("bob", server)
    initiate_group_chat(RoundRobinPattern(initial_agent=alice, agents=[alice, bob]), "Hello", max_rounds=4)
    assert recorder.tree() == [
        "invoke_workflow chat_manager",
        "  select_speaker chat_manager",
        "  invoke_agent alice",
        "    chat test-model",
        "  select_speaker chat_manager",
        "  invoke_agent bob",
        "    chat test-model",
        "  select_speaker chat_manager",
        "  invoke_agent alice",
        "    chat test-model",
    ]
    handoffs = [look.events(span) for span in recorder.spans if span.name.startswith("select_speaker")]
    assert handoffs == [[handoff("_User", "alice")], [handoff("alice", "bob")], [handoff("bob", "alice")]]


def handoff(source: str, target: str, reason: str = "group_transition") -> tuple[str, dict[str, str]]:
    return (
        "handoff",
        {
            "spandag.handoff.from": source,
            "spandag.handoff.to": target,
            "spandag.handoff.reason": reason,
        },
    )


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_model_that_selects_the_speaker_is_asked_below_the_selection(
    recorder: Any, serve: Any, agent: Any, config: Any, look: Any, asynchronous: bool
) -> None:
    # The first answer names nobody, so the framework asks again.
    server = serve(alice=["I am Alice."], bob=["I am Bob. TERMINATE"], chooser=["Somebody", "bob"])
    alice, bob = agent("alice", server), agent("bob", server)
    pattern = AutoPattern(
        initial_agent=alice,
        agents=[alice, bob],
        group_manager_args={
            "llm_config": {"config_list": [config(server, "chooser")], "cache_seed": None},
            "is_termination_msg": lambda message: "TERMINATE" in (message.get("content") or ""),
        },
    )
    if asynchronous:
        from autogen.agentchat import a_initiate_group_chat

        asyncio.run(a_initiate_group_chat(pattern, "Hello", max_rounds=6))
    else:
        initiate_group_chat(pattern, "Hello", max_rounds=6)
    assert recorder.tree() == [
        "invoke_workflow chat_manager",
        "  select_speaker chat_manager",
        "  invoke_agent alice",
        "    chat test-model",
        "  select_speaker chat_manager",
        "    chat test-model",
        "    chat test-model",
        "  invoke_agent bob",
        "    chat test-model",
    ]
    first, second = [span for span in recorder.spans if span.name.startswith("select_speaker")]
    assert look.events(first) == [handoff("_User", "alice")]
    assert look.events(second) == [handoff("alice", "bob", "auto")]
    assert look.tokens(recorder.spans) == look.counted(server)
    assert server.counted().calls == 4


def test_tools_of_a_group_are_below_the_agent_that_executes_them(
    recorder: Any, serve: Any, config: Any
) -> None:
    def script(request: Request) -> Reply:
        if request.messages[-1].role != "tool":
            return Reply(tool_calls=[ToolCall("add", {"a": 2, "b": 3})])
        return Reply("It is 5.")

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    server = serve(alice=script)
    alice = ConversableAgent(
        "alice",
        llm_config={"config_list": [config(server, "alice")], "cache_seed": None},
        functions=[add],
        human_input_mode="NEVER",
    )
    initiate_group_chat(RoundRobinPattern(initial_agent=alice, agents=[alice]), "2 + 3?", max_rounds=4)
    assert recorder.tree() == [
        "invoke_workflow chat_manager",
        "  select_speaker chat_manager",
        "  invoke_agent alice",
        "    chat test-model",
        "  select_speaker chat_manager",
        "  invoke_agent _Group_Tool_Executor",
        "    execute_tool add",
        "  select_speaker chat_manager",
        "  invoke_agent alice",
        "    chat test-model",
    ]


def test_run_group_chat_stays_below_its_caller(
    recorder: Any, serve: Any, agent: Any, outer: Any, drain: Any
) -> None:
    server = serve(alice=["Hello."])
    alice = agent("alice", server)
    with outer():
        drain(run_group_chat(RoundRobinPattern(initial_agent=alice, agents=[alice]), "Hello", max_rounds=2))
    assert recorder.tree() == [
        "outer",
        "  invoke_workflow chat_manager",
        "    select_speaker chat_manager",
        "    invoke_agent alice",
        "      chat test-model",
    ]


def test_a_manager_that_is_sent_a_message_opens_the_conversation_itself(
    recorder: Any, serve: Any, agent: Any
) -> None:
    server = serve(alice=["Hello."])
    user, alice = agent("user"), agent("alice", server)
    manager = GroupChatManager(
        GroupChat([user, alice], [], max_round=2, speaker_selection_method="round_robin"), name="table"
    )
    user.send("Hello", manager, request_reply=True)
    assert recorder.tree() == [
        "invoke_workflow table",
        "  select_speaker table",
        "  invoke_agent alice",
        "    chat test-model",
    ]


# --- turns ------------------------------------------------------------------------


def test_a_turn_that_only_ends_the_conversation_is_no_span(recorder: Any, serve: Any, agent: Any) -> None:
    server = serve(helper=["TERMINATE"])
    agent("user").initiate_chat(agent("helper", server), message="Stop")
    assert recorder.tree() == [
        "invoke_workflow user and helper",
        "  invoke_agent helper",
        "    chat test-model",
    ]


def test_an_agent_that_has_nothing_to_say_still_takes_its_turn(recorder: Any, serve: Any, agent: Any) -> None:
    server = serve(helper=["One.", "TERMINATE"])
    agent("user", default_auto_reply="Go on.").initiate_chat(agent("helper", server), message="Count")
    assert recorder.tree() == [
        "invoke_workflow user and helper",
        "  invoke_agent helper",
        "    chat test-model",
        "  invoke_agent user",
        "  invoke_agent helper",
        "    chat test-model",
    ]


def test_a_reply_function_of_the_users_runs_below_its_turn(recorder: Any, agent: Any) -> None:
    def answer(recipient: Any, messages: Any, sender: Any, config: Any) -> tuple[bool, str]:
        with recorder.provider.get_tracer("app").start_as_current_span("my answer"):
            return True, "Done"

    helper = agent("helper")
    helper.register_reply(lambda _: True, answer, position=2)
    agent("user").initiate_chat(helper, message="Go", max_turns=1)
    assert recorder.tree() == ["invoke_workflow user and helper", "  invoke_agent helper", "    my answer"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_agent_whose_class_replies_in_its_own_way_has_turns_too(
    recorder: Any, agent: Any, capture_content: None, look: Any, asynchronous: bool
) -> None:
    from autogen import ConversableAgent

    class Parrot(ConversableAgent):
        def generate_reply(self, messages: Any = None, sender: Any = None) -> Any:
            return f"{messages[-1]['content']}!" if messages else None

        async def a_generate_reply(self, messages: Any = None, sender: Any = None) -> Any:
            return self.generate_reply(messages, sender)

    user, parrot = agent("user"), Parrot("parrot", human_input_mode="NEVER", llm_config=False)
    messages = [{"role": "user", "content": "Hello"}]
    if asynchronous:
        assert asyncio.run(parrot.a_generate_reply(messages, user)) == "Hello!"
    else:
        assert parrot.generate_reply(messages=messages, sender=user) == "Hello!"
    assert parrot.generate_reply([]) is None

    [span] = recorder.spans
    assert look.attributes(span) == {
        "spandag.node.type": "agent",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "parrot",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hello"}]}]',
        "gen_ai.system_instructions": '[{"type":"text","content":"You are a helpful AI Assistant."}]',
        "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Hello!"}]}]',
        "spandag.message.sender": "user",
        "spandag.message.recipient": "parrot",
    }
    # From when it was asked, not from when it was known to have answered.
    assert span.end_time > span.start_time


def test_an_agent_whose_class_goes_on_to_the_frameworks_reply_has_one_turn(
    recorder: Any, serve: Any, config: Any
) -> None:
    from autogen import ConversableAgent

    class Polite(ConversableAgent):
        # Without `exclude`, which newer versions pass themselves.
        def generate_reply(self, messages: Any = None, sender: Any = None) -> Any:
            return f"Please: {super().generate_reply(messages=messages, sender=sender)}"

    server = serve(polite=["sit down"])
    polite = Polite(
        "polite",
        human_input_mode="NEVER",
        llm_config={"config_list": [config(server, "polite")], "cache_seed": None},
    )
    assert polite.generate_reply([{"role": "user", "content": "Hello"}]) == "Please: sit down"
    assert recorder.tree() == ["invoke_agent polite", "  chat test-model"]


def test_a_hook_that_asks_a_model_does_so_below_the_turn(recorder: Any, serve: Any, agent: Any) -> None:
    server = serve(helper=["Fine."], hinter=["A hint."])
    hinter = agent("hinter", server)

    def hint(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with recorder.provider.get_tracer("app").start_as_current_span("my hook"):
            hinter.generate_oai_reply([{"role": "user", "content": "A hint?"}])
        return messages

    helper = agent("helper", server)
    helper.register_hook("process_all_messages_before_reply", hint)
    agent("user").initiate_chat(helper, message="Go", max_turns=1)
    assert recorder.tree() == [
        "invoke_workflow user and helper",
        "  my hook",
        "  invoke_agent helper",
        "    chat test-model",
        "    chat test-model",
    ]


def test_excluded_reply_functions_stay_excluded(recorder: Any, serve: Any, agent: Any) -> None:
    server = serve(helper=["Not this."])
    helper = agent("helper", server, default_auto_reply="This.")
    reply = helper.generate_reply(
        [{"role": "user", "content": "Go"}],
        exclude=[ConversableAgent.generate_oai_reply],
    )
    assert reply == "This."
    assert server.counted().calls == 0
    assert recorder.tree() == ["invoke_agent helper"]


def test_the_result_of_a_chat_is_untouched(pair: Any, instrumented: AG2ClassicInstrumentor) -> None:
    user, helper, _ = pair()
    traced = user.initiate_chat(helper, message="2 + 3?")
    instrumented.uninstrument()
    user, helper, _ = pair()
    plain = user.initiate_chat(helper, message="2 + 3?")
    assert (traced.chat_history, traced.summary, traced.cost) == (
        plain.chat_history,
        plain.summary,
        plain.cost,
    )
    assert set(traced.cost["usage_including_cached_inference"]) == {"total_cost", "test-model"}


def test_functions_of_agents_stay_what_users_registered(pair: Any) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    user, helper, _ = pair(add)
    before = dict(user._function_map)
    user.initiate_chat(helper, message="2 + 3?")
    assert all(user._function_map[name] is function for name, function in before.items())
    register_function(add, caller=helper, executor=user, name="again", description="Again.")
    assert set(user.function_map) == {"add", "again"}
