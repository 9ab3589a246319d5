"""Secrets that only the user knows: names of fields and patterns of `OTEL_EXPORTER_SPANDAG_SECRETS`."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import NamedTuple

from spandag._guard import say_once
from spandag.config import ENV_SECRETS, Settings

_REDACTED = "[redacted]"
_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
_BETWEEN = re.compile(r"[_\-]+")


class Secrets(NamedTuple):
    """What the user calls a secret.

    Attributes:
        keys: Finds a name under which a secret stands; None where the user names none.
        patterns: What to look for in texts, and what to put in its place.
    """

    keys: re.Pattern[str] | None = None
    patterns: tuple[tuple[re.Pattern[str], str], ...] = ()


def own_secrets() -> Secrets:
    """The secrets of the process: those named in code, else those of the environment, which is read once."""
    global _secrets
    if _secrets is None:
        said = _named or Settings.secrets_in_environment()
        _secrets = _read(said) if said else Secrets()
    return _secrets


def use_secrets(said: str | None) -> None:
    """Let secrets named in code win over those of the environment.

    Args:
        said: As in the variable; None goes back to the environment.
    """
    global _named, _secrets
    _named, _secrets = said, None


_named: str | None = None
_secrets: Secrets | None = None


def _read(said: str) -> Secrets:
    names: list[str] = []
    patterns: list[tuple[re.Pattern[str], str]] = []
    for entry in _entries(said):
        if _NAME.fullmatch(entry):
            # "house_key" is "house-key" as well, as with the names that are built in.
            names.append(r"[_\-]?".join(map(re.escape, _BETWEEN.split(entry))))
            continue
        try:
            pattern = re.compile(entry)
            problem = "it matches nothing at all" if pattern.search("") else None
        except (re.error, RecursionError, OverflowError) as error:
            problem = str(error)
        if problem is None:
            patterns.append((pattern, _REDACTED))
        else:
            _ignored(repr(entry), problem)
    if not names:
        return Secrets(None, tuple(patterns))
    any_name = "|".join(names)
    # A value that is assigned to such a name, in code or JSON.
    assigned = (
        rf"(?i:((?<![A-Za-z0-9])(?:{any_name})[\"'\\]{{0,6}}\s{{0,4}}[:=]\s{{0,4}}[\"'\\]{{1,6}})[^\"'\\]+)"
    )
    return Secrets(
        re.compile(rf"(?:^|[._\-])(?:{any_name})$", re.IGNORECASE),
        (*patterns, (re.compile(assigned), rf"\1{_REDACTED}")),
    )


def _entries(said: str) -> list[str]:
    """One a line where a file is named, otherwise separated by commas."""
    path = Path(said.strip())
    try:
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    except (OSError, ValueError) as error:
        _ignored(said, str(error))
        return []
    return [entry.strip() for entry in said.split(",") if entry.strip()]


def _ignored(what: str, problem: str) -> None:
    say_once(logging.WARNING, f"secrets:{what}", "%s: %s is ignored: %s", ENV_SECRETS, what, problem)
