"""Turns that a hub runs have a parent only while it is open."""

from __future__ import annotations

import asyncio
from typing import Any

from ag2 import Agent
from ag2.knowledge import MemoryKnowledgeStore
from ag2.network import Hub, HubClient, LocalLink, Passport
from opentelemetry import trace

CHAT = "chat test-model"


async def _converse(agent: Agent, recorder: Any, *, wait_inside: bool) -> None:
    """Connect to a hub below the span ``startup``, then have a person write to the agent."""
    tracer = recorder.provider.get_tracer("user")
    hub = await Hub.open(MemoryKnowledgeStore(), ttl_sweep_interval=0, expectation_sweep_interval=0)
    client = HubClient(LocalLink(hub))

    async def write() -> None:
        channel = await human.open(type="conversation", target="bob")
        await human.send(channel.channel_id, "Hello")
        await human.wait_for_channel_event(
            channel_id=channel.channel_id,
            predicate=lambda envelope: (
                envelope.sender_id == bob.agent_id and envelope.event_type == "ag2.msg.text"
            ),
            timeout=10,
        )

    with tracer.start_as_current_span("startup"):
        bob = await client.register(agent, Passport(name="bob"))
        human = await client.register_human(Passport(name="ann"))
        if wait_inside:
            await write()
    if not wait_inside:
        await write()
    await client.close()
    await hub.close()
    assert not trace.get_current_span().is_recording()


def test_a_span_that_has_ended_is_not_the_parent(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(bob=lambda request: "Hi, Ann")

    asyncio.run(_converse(Agent("bob", config=config(server, "bob")), recorder, wait_inside=False))

    assert recorder.tree() == ["startup", "invoke_agent bob", f"  {CHAT}"]
    assert len({span.context.trace_id for span in recorder.spans}) == 2


def test_a_span_that_is_open_is_the_parent(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(bob=lambda request: "Hi, Ann")

    asyncio.run(_converse(Agent("bob", config=config(server, "bob")), recorder, wait_inside=True))

    assert recorder.tree() == ["startup", "  invoke_agent bob", f"    {CHAT}"]
