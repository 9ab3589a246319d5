"""Places where a store cannot be: one clear line, and nothing changed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spandag.store import Writer

NOBODY = 65534

# A user who may do nothing may not be allowed to read Python's own files either: all is loaded before.
CODE = """
import os, sys, tempfile
from spandag.store import StoreError, Writer, admin, open_store
from spandag.store.check import check

ATTEMPTS = (
    open_store, lambda url: Writer(url).settle(), admin.current, admin.upgrade_to, check,
    lambda url: admin.downgrade_to(url, "base"),
)

def attempt_all(url):
    for attempt in ATTEMPTS:
        try:
            attempt(url)
        except StoreError as error:
            yield str(error)
        else:
            yield "not refused"

with tempfile.TemporaryDirectory() as folder:
    admin.upgrade_to(f"sqlite:///{folder}/runs.db")
    assert set(attempt_all(f"sqlite:///{folder}/runs.db")) == {"not refused"}
    list(attempt_all(f"sqlite:///{folder}"))
if os.getuid() == 0:
    os.setuid(int(sys.argv[2]))
print(*attempt_all(sys.argv[1]), sep="\\n")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user can reach; pytest's own are the user's alone."""
    with tempfile.TemporaryDirectory(prefix="spandag-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


def refusals(url: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, url, str(NOBODY)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_store_in_a_read_only_folder(folder: Path) -> None:
    """SQLite keeps two files beside the store, also to read it."""
    file = folder / "runs.db"
    writer = Writer(f"sqlite:///{file}")
    writer.settle()
    writer.close()
    file.chmod(0o444)
    folder.chmod(0o555)
    before = file.read_bytes()
    said = refusals(f"sqlite:///{file}")
    assert len(said) == 6
    for line in said:
        assert line.startswith((f"cannot open the store {file} (", f"cannot write the store {file} ("))
    assert file.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["runs.db"]


def test_a_new_store_in_a_read_only_folder(folder: Path) -> None:
    folder.chmod(0o555)
    said = refusals(f"sqlite:///{folder}/new/runs.db")
    assert len(said) == 6
    for line in said:
        assert line.startswith((f"no store at {folder}/new/runs.db", f"cannot write the store {folder}/new"))
    assert list(folder.iterdir()) == []


def test_a_store_that_is_somebody_elses(folder: Path) -> None:
    file = folder / "runs.db"
    writer = Writer(f"sqlite:///{file}")
    writer.settle()
    writer.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    if os.getuid() != 0:
        file.chmod(0o000)
    for line in refusals(f"sqlite:///{file}"):
        assert line.startswith((f"cannot open the store {file} (", f"cannot write the store {file} ("))
