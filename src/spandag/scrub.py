"""Secrets are removed before a span, and so the store or a backend, has them."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from spandag._secrets import own_secrets

REDACTED = "[redacted]"
_REPLACEMENT = rf"\1{REDACTED}"

# Whole words of a key, so that "max_tokens" or "input_tokens" are not taken for secrets. A bare "token" is
# the whole of the key: "max_token" and "time_to_first_token" are counts.
_SECRET_KEY = re.compile(
    r"(?:^|[._\-])(?:api[_\-]?key|(?:client|app|signing|webhook)?[_\-]?secret|"
    r"(?:aws[_\-]?)?secret[_\-]?(?:access[_\-]?)?key|private[_\-]?key|password|passwd|passphrase|"
    r"(?:access|api|auth|bearer|bot|github|gitlab|hf|id|refresh|security|session|slack)[_\-]?token|"
    r"authorization|bearer|credentials?|cookie|set[_\-]cookie)$|(?:^|\.)token$",
    re.IGNORECASE,
)

# What a secret looks like, by what its text must contain (in lower case). To look for that is a hundred times
# faster than the pattern, and most texts have none of it. A pattern's groups are kept, the rest is replaced.
# No run of characters is looked at more than a fixed number of times: a text of many megabytes takes linear time.
_SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (needles, re.compile(pattern))
    for needles, pattern in (
        (("sk-",), r"()\bsk-[A-Za-z0-9_\-]{16,}"),  # OpenAI, Anthropic
        (("hf_",), r"()\bhf_[A-Za-z0-9]{20,}"),  # Hugging Face
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"()\bgh[pousr]_[A-Za-z0-9]{30,}"),  # GitHub
        (("github_pat_",), r"()\bgithub_pat_[A-Za-z0-9_]{30,}"),
        (("glpat-",), r"()\bglpat-[A-Za-z0-9_\-]{16,}"),  # GitLab
        (("xox",), r"()\bxox[abprs]-[A-Za-z0-9\-]{10,}"),  # Slack
        (("akia",), r"()\bAKIA[0-9A-Z]{16}\b"),  # AWS
        (("aiza",), r"()\bAIza[0-9A-Za-z_\-]{35}"),  # Google
        # JSON web tokens; they start where no character of theirs is before, so once in a run of them.
        (
            ("eyj",),
            r"()(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{10,}+\.eyJ[A-Za-z0-9_\-]{10,}+\.[A-Za-z0-9_\-]{10,}",
        ),
        (("bearer",), r"(?i:()\bbearer\s{1,9}[A-Z0-9_\-\.=]{16,})"),
        (
            ("://",),
            r"(://)[^/\s:@\"'\\<>,{}\[\]]{1,200}:[^/\s@\"'\\<>,{}\[\]]{1,200}(?=@)",
        ),  # user:password@host
        (
            ("private key-----",),
            r"()-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
        ),
    )
)


# A value that is assigned to a name which may be telling, in code, JSON, a shell or a URL. The name's last word
# is looked for; the rest of it is looked at where one is found.
_ASSIGNED_NEEDLES = ("key", "secret", "passw", "passphrase", "token")
_NEEDLES = (*(needle for needles, _ in _SECRETS for needle in needles), *_ASSIGNED_NEEDLES)
_ASSIGNED = re.compile(
    r"(?i:key|secret|password|passwd|passphrase|token)"
    r"([\"'\\]{0,6}\s{0,4}[:=]\s{0,4})(?:([\"'\\]{1,6})[^\"'\\\s]{6,}+|([^\s\"'\\`&,;|<>(){}\[\]$]{4,}+)(?![(\[]))"
)
_OF_NAMES = string.ascii_letters + string.digits + "_.-"
_NAME_LENGTH = 60

_MAX_DEPTH = 20


def is_secret_key(name: str) -> bool:
    """Whether an attribute's or field's name says that its value is a secret."""
    own = own_secrets()
    return _is_known_secret_key(name) or (own.keys is not None and own.keys.search(name) is not None)


def is_secret(name: str, value: object) -> bool:
    """Whether a value is a secret by the name that it stands under; what says nothing never is."""
    if value is None or isinstance(value, bool) or (isinstance(value, str) and not value):
        return False
    return is_secret_key(name)


@functools.lru_cache(maxsize=4096)
def _is_known_secret_key(name: str) -> bool:
    return _SECRET_KEY.search(name) is not None


def redacted(text: str) -> str:
    """The text with everything that looks like a secret replaced."""
    folded = text.lower()
    for needle in _NEEDLES:
        if needle in folded:
            text = _without_known_secrets(text, folded)
            break
    for pattern, replacement in own_secrets().patterns:
        text = pattern.sub(replacement, text)
    return text


def _without_known_secrets(text: str, folded: str) -> str:
    for needles, pattern in _SECRETS:
        if any(needle in folded for needle in needles):
            text = pattern.sub(_REPLACEMENT, text)
    if any(needle in folded for needle in _ASSIGNED_NEEDLES):
        text = _ASSIGNED.sub(_without_value, text)
    return text


def _without_value(assigned: re.Match[str]) -> str:
    whole = assigned[0]
    before = assigned.string[max(0, assigned.start() - _NAME_LENGTH) : assigned.start(1)]
    name = before[len(before.rstrip(_OF_NAMES)) :]
    if not _is_known_secret_key(name):
        return whole
    between, quote, bare = assigned[1], assigned[2], assigned[3]
    if bare is not None and not _is_bare_secret(name, between, bare):
        return whole
    return whole[: assigned.end(1) - assigned.start()] + (quote or "") + REDACTED


def _is_bare_secret(name: str, between: str, value: str) -> bool:
    """Whether a value without quotes is a secret, and not prose or a program that passes one on."""
    with_digit = any(character.isdigit() for character in value)
    if between == "=":
        return len(value) >= 6 and (name.isupper() or with_digit)
    if between.strip() == "=":
        # A configuration file, or a short name in a program.
        return len(value) >= 16 and with_digit
    # As in {"password": 123456}.
    return between[0] in "\"'\\" and value.isdigit()


def redacted_bytes(value: bytes) -> bytes:
    """The same for bytes, which are taken for text; they stay as they are where no secret is in them."""
    text = value.decode("utf-8", "surrogateescape")
    without = redacted(text)
    return value if without == text else without.encode("utf-8", "surrogateescape")


def redacted_value(value: Any, name: str = "", depth: int = 0) -> Any:
    """A value without secrets, down to the texts in it.

    Args:
        value: As another program recorded it.
        name: The name that it stands under.
        depth: How deep in another value it is; what is too deep is shown as text.
    """
    if name and is_secret(name, value):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, bytes):
        return redacted_bytes(value)
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {key: redacted_value(item, str(key), depth + 1) for key, item in value.items()}
        if isinstance(value, Sequence):
            return [redacted_value(item, depth=depth + 1) for item in value]
    return redacted(str(value))


def scrub_text(text: str) -> str:
    """The text with everything that looks like a secret replaced, and whatever UTF-8 cannot hold."""
    if not text.isascii():
        # A lone surrogate would cost the whole batch that an exporter encodes it in.
        text = text.encode("utf-8", "replace").decode("utf-8")
    return redacted(text)


def scrub_attribute(name: str, value: Any) -> Any:
    """An attribute's value without secrets, in a type that OpenTelemetry takes."""
    if is_secret(name, value):
        return REDACTED
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [_scrubbed(item) if isinstance(item, str | bytes | bytearray) else item for item in value]
    return _scrubbed(value)


def _scrubbed(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray):
        return redacted_bytes(bytes(value))
    # A str subclass may show itself as anything.
    return scrub_text(str.__str__(value) if isinstance(value, str) else str(value))
