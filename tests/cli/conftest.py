"""The command as users start it: a real process, a real store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from spandag.store import Store, open_store

SPANDAG = str(Path(sys.executable).with_name("spandag"))

Spandag = Callable[..., "subprocess.CompletedProcess[str]"]
OpenStore = Callable[[], AbstractContextManager[Store]]


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    """Where this test's store is, or will be."""
    return tmp_path / "runs.db"


@pytest.fixture
def environment(store_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process and those that it starts use the test's store; `python` is this one."""
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_URL", f"sqlite:///{store_file}")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def spandag(tmp_path: Path, environment: None) -> Spandag:
    """Runs ``spandag`` with these arguments in the test's folder, with these variables added."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SPANDAG, *arguments],
            cwd=tmp_path,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def stored(store_file: Path) -> OpenStore:
    """Opens the test's store."""

    @contextmanager
    def opened() -> Iterator[Store]:
        with open_store(f"sqlite:///{store_file}") as store:
            yield store

    return opened
