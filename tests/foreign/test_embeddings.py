"""An embedding is a model call, but not what an agent thinks with."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "embedding",
    [
        {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "text-embedding-3-small",
            "gen_ai.usage.input_tokens": 1_000_000,
        },
        {
            "openinference.span.kind": "EMBEDDING",
            "llm.system": "openai",
            "embedding.model_name": "text-embedding-3-small",
            "llm.token_count.prompt": 1_000_000,
            "llm.token_count.total": 1_000_000,
        },
    ],
    ids=["conventions", "openinference"],
)
def test_it_is_counted_and_priced_and_switches_no_model(embedding, recorder, stored):
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 1,
    }
    tracer = recorder.provider.get_tracer("foreign")
    with tracer.start_as_current_span("a", attributes={"gen_ai.operation.name": "invoke_agent"}):
        for attributes in (chat, embedding, chat):
            tracer.start_span("call", attributes=attributes).end()

    store = stored()
    assert store.spent() == (3, 1_000_020, 2)
    assert store.rows(
        "SELECT cost_usd, output_tokens FROM cost_records WHERE model LIKE 'text-%' AND provider = 'openai'"
    ) == [(pytest.approx(0.02), None)]
    assert store.rows("SELECT event_type FROM execution_events") == [("model_selected",)]
