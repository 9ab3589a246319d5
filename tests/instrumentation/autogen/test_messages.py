"""Who speaks to whom stands beside the messages that the store keeps."""

from __future__ import annotations

from typing import Any

import pytest
from autogen import GroupChat, GroupChatManager

from spandag.export.project import project


def spoken(recorder: Any) -> list[tuple[str, str, str | None, str | None]]:
    """Node, direction, sender and recipient of all messages between agents, in order of time."""
    batch = project(recorder.spans)
    names = {node.id: node.name for node in batch.dag_nodes if node.node_type in ("agent", "conversation")}
    return [
        (names[row.node_id], row.direction, row.sender, row.recipient)
        for row in batch.node_messages
        if row.node_id in names and row.direction in ("input", "output")
    ]


@pytest.mark.usefixtures("capture_content")
def test_in_a_conversation_of_two(recorder: Any, pair: Any) -> None:
    user, helper, _ = pair()
    user.initiate_chat(helper, message="2 + 3?")
    assert spoken(recorder) == [
        ("user and helper", "input", "user", "helper"),
        ("user and helper", "output", "helper", "user"),
        ("helper", "input", "user", "helper"),
        ("helper", "output", "helper", "user"),
        ("user", "input", "helper", "user"),
        ("user", "output", "user", "helper"),
        ("helper", "input", "user", "helper"),
        ("helper", "output", "helper", "user"),
    ]


@pytest.mark.usefixtures("capture_content")
def test_in_a_group_everybody_speaks_to_the_manager(recorder: Any, serve: Any, agent: Any) -> None:
    server = serve(ann=["one"], bob=["two"])
    ann, bob = agent("ann", server), agent("bob", server)
    manager = GroupChatManager(
        GroupChat([ann, bob], messages=[], max_round=3, speaker_selection_method="round_robin"),
        llm_config=False,
    )
    agent("user").initiate_chat(manager, message="Go")
    assert [entry for entry in spoken(recorder) if entry[0] in ("ann", "bob")] == [
        ("ann", "input", "chat_manager", "ann"),
        ("ann", "output", "ann", "chat_manager"),
        ("bob", "input", "chat_manager", "bob"),
        ("bob", "output", "bob", "chat_manager"),
    ]
