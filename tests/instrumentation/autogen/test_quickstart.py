"""The example of AG2 Classic, run as it is."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from spandag.testing import Reply, Request, ToolCall

EXAMPLE = Path(__file__).parents[3] / "examples" / "quickstart_autogen.py"


def astronomer(request: Request) -> Reply:
    if request.last("tool"):
        return Reply(f"A year on Mars is {request.last('tool')} years long. TERMINATE")
    return Reply(tool_calls=[ToolCall("orbital_period", {"semi_major_axis": 1.524})])


def test_the_quickstart_runs_unmodified_and_is_traced(
    serve: Any, recorder: Any, look: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(astronomer=astronomer)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url_for("astronomer"))
    monkeypatch.setenv("OPENAI_API_KEY", "any")

    runpy.run_path(str(EXAMPLE), run_name="__main__")

    assert capsys.readouterr().out.rstrip().endswith("A year on Mars is 1.88 years long.")
    assert recorder.tree() == [
        "invoke_workflow user and astronomer",
        "  invoke_agent astronomer",
        "    chat gpt-4o-mini",
        "  invoke_agent user",
        "    execute_tool orbital_period",
        "  invoke_agent astronomer",
        "    chat gpt-4o-mini",
    ]
    assert look.tokens(recorder.spans) == look.counted(server)
    assert "spandag" not in EXAMPLE.read_text()
