"""Secrets are removed before a span, and so the store or a backend, has them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

REDACTED = "[redacted]"

# Whole words of a key, so that "max_tokens" or "input_tokens" are not taken for secrets.
_SECRET_KEY = re.compile(
    r"(?:^|[._\-])(?:api[_\-]?key|apikey|secret|client[_\-]?secret|password|passwd|passphrase|authorization|"
    r"auth[_\-]?token|access[_\-]?token|refresh[_\-]?token|bearer|private[_\-]?key|credentials?|cookie|set[_\-]cookie)$",
    re.IGNORECASE,
)

# Every repetition is bounded: a message of many megabytes must take linear time.
_QUOTED_SECRET = (
    r"(?P<head>\b[\w\-]{0,40}(?:api[_\-]?key|secret|password|passwd|access[_\-]?token|refresh[_\-]?token|"
    r"auth[_\-]?token|private[_\-]?key)[\"'\\]{0,6}\s{0,4}[:=]\s{0,4}[\"'\\]{1,6})(?P<value>[^\"'\\\s]{6,})"
)

_SECRET_VALUE = re.compile(
    "|".join(
        (
            r"\bsk-[A-Za-z0-9_\-]{16,}",  # OpenAI, Anthropic
            r"\bhf_[A-Za-z0-9]{20,}",  # Hugging Face
            r"\bgh[pousr]_[A-Za-z0-9]{30,}",  # GitHub
            r"\bgithub_pat_[A-Za-z0-9_]{30,}",
            r"\bglpat-[A-Za-z0-9_\-]{16,}",  # GitLab
            r"\bxox[abprs]-[A-Za-z0-9\-]{10,}",  # Slack
            r"\bAKIA[0-9A-Z]{16}\b",  # AWS
            r"\bAIza[0-9A-Za-z_\-]{35}",  # Google
            r"\beyJ[A-Za-z0-9_\-]{10,999}\.eyJ[A-Za-z0-9_\-]{10,9999}\.[A-Za-z0-9_\-]{10,}",  # JSON web tokens
            r"(?i:\bbearer\s+)[A-Za-z0-9_\-\.=]{16,}",
            r"(?<=://)[^/\s:@]{1,200}:[^/\s@]{1,200}(?=@)",  # user:password@host
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
        )
    )
)
_ASSIGNED_SECRET = re.compile(_QUOTED_SECRET, re.IGNORECASE)


@functools.lru_cache(maxsize=4096)
def is_secret_key(name: str) -> bool:
    """Whether an attribute's or field's name says that its value is a secret."""
    return _SECRET_KEY.search(name) is not None


def scrub_text(text: str) -> str:
    """The text with everything that looks like a secret replaced."""
    text = _SECRET_VALUE.sub(REDACTED, text)
    return _ASSIGNED_SECRET.sub(lambda match: match["head"] + REDACTED, text)


def scrub_attribute(name: str, value: Any) -> Any:
    """An attribute's value without secrets, in a type that OpenTelemetry takes."""
    if isinstance(value, bool | int | float):
        return value
    if is_secret_key(name):
        return REDACTED
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, Sequence):
        return [scrub_text(item) if isinstance(item, str) else item for item in value]
    return scrub_text(str(value))
