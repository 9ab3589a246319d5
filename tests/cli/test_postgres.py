"""The commands on PostgreSQL; its password is nowhere to be seen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import make_url

Spandag = Callable[..., "subprocess.CompletedProcess[str]"]

PROGRAM = """
import spandag
with spandag.run("report"):
    for attempt in spandag.step("fit").attempts():
        with attempt, spandag.agent("engineer"), spandag.chat("gpt-4o-mini", provider="openai") as chat:
            chat.set_usage(1000, 100)
            if attempt.number == 1:
                attempt.reject("log space")
"""


@pytest.fixture
def ask(spandag: Spandag, postgres_url: str) -> Spandag:
    """Runs a command on the store; fails where it says the password."""
    password = str(make_url(postgres_url).password)

    def ask(*arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        done = spandag("--store", postgres_url, *arguments)
        assert (done.returncode != 0) is fails, done.stderr
        assert password not in done.stdout + done.stderr
        return done

    return ask


def test_a_program_is_recorded_and_asked_about(
    ask: Any, postgres_url: str, read_tables: Callable[[str], dict[str, list[dict[str, Any]]]]
) -> None:
    ask("run", "--", sys.executable, "-c", PROGRAM)
    [run] = json.loads(ask("runs", "--json").stdout)
    assert (run["name"], run["status"], run["redos"], run["input_tokens"]) == ("report", "completed", 1, 2000)
    shown = ask("tree")
    assert "engineer" in shown.stdout
    assert f'spandag redos {run["id"][:8]} --store "$OTEL_EXPORTER_SPANDAG_URL"' in shown.stderr
    [redo] = json.loads(ask("redos", "last", "--json").stdout)
    assert redo["hypothesis"] == "log space"
    assert "log space" in ask("node", redo["after"]["node_id"]).stdout
    assert 'spandag tree last --store "$OTEL_EXPORTER_SPANDAG_URL"' in ask("runs").stderr
    assert str(make_url(postgres_url).password) not in repr(read_tables(postgres_url))


def test_what_is_wrong_is_one_line(ask: Any) -> None:
    assert ask("tree", "zzz", fails=True).stderr.count("\n") == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hidden@127.0.0.1:1/runs",
        "postgresql://127.0.0.1:1/runs?user=me&password=hidden",
        "postgresql://me:hidden@127.0.0.1:port/runs",
        "postgresql://me:hid@hidden@127.0.0.1/runs",
    ],
)
def test_a_store_that_cannot_be_used_is_one_line(spandag: Spandag, url: str) -> None:
    for command in ("runs", "tree", "redos"):
        done = spandag(command, "--store", url)
        assert done.returncode != 0
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert "hid" not in done.stderr
