"""Secrets are removed before a span, and so the store or a backend, has them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

REDACTED = "[redacted]"
_REPLACEMENT = rf"\1{REDACTED}"

# Whole words of a key, so that "max_tokens" or "input_tokens" are not taken for secrets.
_SECRET_KEY = re.compile(
    r"(?:^|[._\-])(?:api[_\-]?key|apikey|secret|client[_\-]?secret|password|passwd|passphrase|authorization|"
    r"auth[_\-]?token|access[_\-]?token|refresh[_\-]?token|bearer|private[_\-]?key|credentials?|cookie|set[_\-]cookie)$",
    re.IGNORECASE,
)

_SECRET_WORD = r"(?:api[_\-]?key|secret|password|passwd|access[_\-]?token|refresh[_\-]?token|auth[_\-]?token|private[_\-]?key)"

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
        (("://",), r"(://)[^/\s:@]{1,200}:[^/\s@]{1,200}(?=@)"),  # user:password@host
        (
            ("private key-----",),
            r"()-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
        ),
        # A value that is assigned to a telling name, in code or JSON.
        (
            ("secret", "passw", "key", "token"),
            rf"(?i:({_SECRET_WORD}[\"'\\]{{0,6}}\s{{0,4}}[:=]\s{{0,4}}[\"'\\]{{1,6}})[^\"'\\\s]{{6,}})",
        ),
    )
)


@functools.lru_cache(maxsize=4096)
def is_secret_key(name: str) -> bool:
    """Whether an attribute's or field's name says that its value is a secret."""
    return _SECRET_KEY.search(name) is not None


def scrub_text(text: str) -> str:
    """The text with everything that looks like a secret replaced, and whatever UTF-8 cannot hold."""
    if not text.isascii():
        # A lone surrogate would cost the whole batch that an exporter encodes it in.
        text = text.encode("utf-8", "replace").decode("utf-8")
    folded = text.lower()
    for needles, pattern in _SECRETS:
        if any(needle in folded for needle in needles):
            text = pattern.sub(_REPLACEMENT, text)
    return text


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
