from __future__ import annotations

import pytest
from opentelemetry import context


@pytest.fixture(autouse=True)
def recording(global_recorder: object) -> None:
    """The workflow API writes to the recorder of the test."""


@pytest.fixture(autouse=True)
def context_stays_clean():
    """Whatever a test does, the context after it is the one before it."""
    before = context.get_current()
    yield
    assert context.get_current() == before
