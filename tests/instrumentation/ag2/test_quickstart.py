"""The example of AG2, run as it is."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from spandag.testing import Reply, Request, ToolCall

EXAMPLE = Path(__file__).parents[3] / "examples" / "quickstart_ag2.py"


def astronomer(request: Request) -> Reply:
    if request.last("tool"):
        return Reply(f"A year on Jupiter is {request.last('tool')} years long.")
    return Reply(tool_calls=[ToolCall("orbital_period", {"semi_major_axis": 5.2})])


def test_the_quickstart_runs_unmodified_and_is_traced(
    serve: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", serve(astronomer=astronomer).url_for("astronomer"))
    monkeypatch.setenv("OPENAI_API_KEY", "any")

    runpy.run_path(str(EXAMPLE), run_name="__main__")

    assert capsys.readouterr().out == "A year on Jupiter is 11.86 years long.\n"
    assert recorder.tree() == [
        "invoke_agent astronomer",
        "  chat gpt-4o-mini",
        "  execute_tool orbital_period",
        "  chat gpt-4o-mini",
    ]
    assert "spandag" not in EXAMPLE.read_text().split('"""', 2)[2]
