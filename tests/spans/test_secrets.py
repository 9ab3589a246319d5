"""What the user calls a secret is removed from spans and from what the store is given."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spandag import _guard
from spandag._secrets import use_secrets
from spandag.config import Settings
from spandag.export import SpandagSpanExporter
from spandag.export.project import project
from spandag.scrub import is_secret_key, redacted_value, scrub_attribute, scrub_text

VARIABLE = "OTEL_EXPORTER_SPANDAG_SECRETS"


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment is read anew before and after each test, and nothing has been said."""
    monkeypatch.setattr(_guard, "_said", set())
    use_secrets(None)
    yield
    use_secrets(None)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Any:
    """What was said."""
    caplog.set_level(logging.WARNING, "spandag")
    return lambda: [record.getMessage() for record in caplog.records]


def test_names_and_patterns_of_the_environment(monkeypatch, warnings):
    monkeypatch.setenv(VARIABLE, r"house_key, acme.pin ,CASE-\d{4,6}")

    assert [is_secret_key(name) for name in ("house_key", "my.House-Key", "housekey", "acme.pin")] == [
        True
    ] * 4
    assert not any(is_secret_key(name) for name in ("house_keys", "warehouse_key", "pin", "acmexpin"))
    assert scrub_attribute("house_key", "abc") == "[redacted]"
    # A comma ends a pattern; one that needs a comma goes into a file.
    assert scrub_text("see CASE-{4") == "see CASE-{4"
    assert warnings() == []


def test_a_file_has_one_a_line(monkeypatch, tmp_path, warnings):
    path = tmp_path / "secrets.txt"
    path.write_text("# ours\nhouse_key\n\n  CASE-\\d{4,6}\n")
    monkeypatch.setenv(VARIABLE, str(path))

    assert scrub_text("CASE-12 and CASE-12345!") == "CASE-12 and [redacted]!"
    assert scrub_text('{"house_key": "ab cd"}') == '{"house_key": "[redacted]"}'
    assert (
        scrub_text("house-key = 'x'; warehouse_key = 'y'") == "house-key = '[redacted]'; warehouse_key = 'y'"
    )
    assert redacted_value({"a": [{"house_key": "x", "b": "CASE-4444"}]}) == {
        "a": [{"house_key": "[redacted]", "b": "[redacted]"}]
    }
    # Those that are built in are still known.
    assert is_secret_key("api_key")
    assert warnings() == []


@pytest.mark.parametrize("broken", ["CASE-(", "a**", "(?P<x", "x*"])
def test_a_pattern_that_is_none_is_said_once_and_ignored(broken, monkeypatch, warnings):
    monkeypatch.setenv(VARIABLE, f"{broken},house_key,CASE-[0-9]+")

    assert scrub_text("CASE-1 x") == "[redacted] x"
    assert is_secret_key("house_key")
    use_secrets(None)
    assert scrub_text("CASE-1 x") == "[redacted] x"

    [said] = warnings()
    assert said.startswith(f"{VARIABLE}: {broken!r} is ignored: ")


def test_a_file_that_cannot_be_read_is_said(monkeypatch, tmp_path, warnings):
    path = tmp_path / "secrets.bin"
    path.write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv(VARIABLE, str(path))

    assert scrub_text("nothing") == "nothing"

    [said] = warnings()
    assert said.startswith(f"{VARIABLE}: {path} is ignored: ")


def test_the_setting_is_among_the_others():
    assert Settings.load({VARIABLE: " a,b "}).secrets == "a,b"
    assert Settings.load({}).secrets is None
    assert Settings.load({VARIABLE: "a"}, secrets="b").secrets == "b"


def test_the_exporter_takes_it_from_a_configuration(monkeypatch, tmp_path, recorder):
    monkeypatch.setenv(VARIABLE, "of_the_environment")
    SpandagSpanExporter(url=f"sqlite:///{tmp_path}/s.db", secrets="CASE-[0-9]+")
    tracer = recorder.provider.get_tracer("somebody.else")
    tracer.start_span(
        "chat",
        attributes={"free": "CASE-1", "gen_ai.output.messages": '[{"role":"assistant","content":"CASE-2"}]'},
    ).end()

    batch = project(recorder.spans)

    assert json.loads(str(batch.dag_nodes[0].attributes)) == {"free": "[redacted]"}
    [message] = batch.messages.values()
    assert message.content == '{"content":"[redacted]","role":"assistant"}'
    assert not is_secret_key("of_the_environment")


def test_spans_of_ours_never_have_them(tmp_path: Path):
    program = """
import spandag
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, ConsoleSpanExporter
from opentelemetry import trace
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
with spandag.run("report", task="about CASE-77") as run:
    run.set_attribute("house_key", "abc")
"""
    environment = {VARIABLE: "house_key,CASE-[0-9]+", "PATH": "", "SPANDAG_STRICT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    attributes = json.loads(done.stdout)["attributes"]
    assert attributes["spandag.run.task"] == "about [redacted]"
    assert attributes["house_key"] == "[redacted]"
