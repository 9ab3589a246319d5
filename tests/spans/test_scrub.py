"""Secrets are found, other text is left alone, and no text takes forever."""

from __future__ import annotations

import pytest

from spandag.scrub import is_secret_key, scrub_attribute, scrub_text

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("key sk-" + "a" * 20 + " end", "key [redacted] end"),
        ("sk-proj-" + "a_b-" * 10, "[redacted]"),
        ("hf_" + "a" * 30, "[redacted]"),
        ("ghp_" + "a" * 36, "[redacted]"),
        ("github_pat_" + "a" * 36, "[redacted]"),
        ("glpat-" + "a" * 20, "[redacted]"),
        ("xoxb-1234567890-abc", "[redacted]"),
        ("AKIA" + "A1" * 8, "[redacted]"),
        ("AIza" + "a" * 35, "[redacted]"),
        (f"token={TOKEN};", "token=[redacted];"),
        ("Authorization: Bearer " + "a" * 20, "Authorization: [redacted]"),
        ("postgresql://alice:hunter2@db:5432/x", "postgresql://[redacted]@db:5432/x"),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nb",
            "a\n[redacted]\nb",
        ),
        ("-----BEGIN PRIVATE KEY-----\nabc", "[redacted]"),
        ('{"api_key": "hunter2x"}', '{"api_key": "[redacted]"}'),
        ("DB_PASSWORD='hunter2x'", "DB_PASSWORD='[redacted]'"),
        ('{\\"client_secret\\": \\"hunter2x\\"}', '{\\"client_secret\\": \\"[redacted]\\"}'),
        ("sk-" + "a" * 20 + " and sk-" + "b" * 20, "[redacted] and [redacted]"),
    ],
)
def test_secrets_are_replaced(text, scrubbed):
    assert scrub_text(text) == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "max_tokens=100, the secret of the ask-me-anything task-force is the key",
        "https://example.com:8080/path?a=b",
        "mail alice@example.com",
        "skill risk-assessment-for-everyone-here",
        "AKIA",
        "the token: 7",
        "ÄÖÜ İ \U0001f680 \x00",
    ],
)
def test_other_text_is_left_alone(text):
    assert scrub_text(text) == text


def test_what_utf_8_cannot_hold_is_replaced():
    assert scrub_text("a\ud800b") == "a?b"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("api_key", True),
        ("openai.api-key", True),
        ("Authorization", True),
        ("password", True),
        ("client_secret", True),
        ("max_tokens", False),
        ("gen_ai.usage.input_tokens", False),
        ("secretary", False),
        ("monkey", False),
    ],
)
def test_names_of_secrets_are_known(name, secret):
    assert is_secret_key(name) is secret


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("n", 1, 1),
        ("n", True, True),
        ("n", 1.5, 1.5),
        ("n", "sk-" + "a" * 20, "[redacted]"),
        ("n", ["a", "sk-" + "a" * 20], ["a", "[redacted]"]),
        ("n", (1, 2), [1, 2]),
        ("n", {"a": 1}, "{'a': 1}"),
        ("n", b"x", b"x"),
        ("password", "x", "[redacted]"),
        ("password", ["x"], "[redacted]"),
        ("api_key", 5, 5),
    ],
)
def test_attributes_are_of_types_that_opentelemetry_takes(name, value, expected):
    assert scrub_attribute(name, value) == expected


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a-",
        "eyJaaaaaaaaaa-",
        "eyJaaaaaaaaaa.eyJ-",
        "bearer ",
        "bearer" + " " * 50,
        "sk-",
        "://a",
        "://ab:c",
        "-----BEGIN A ",
        "-----BEGIN PRIVATE KEY----",
        "api_key=",
        "secret-",
        "password:'",
        "token" + " " * 20,
        "hf_ghp_xox-",
    ],
)
def test_ten_megabytes_of_almost_a_secret_are_done_with(piece):
    text = piece * (10_000_000 // len(piece))

    # A pattern that goes back over its text would take hours here; this ends.
    assert len(scrub_text(text)) > 0
