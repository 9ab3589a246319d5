"""Secrets are found, other text is left alone, and no text takes forever."""

from __future__ import annotations

import pytest

from spandag.scrub import is_secret_key, redacted_value, scrub_attribute, scrub_text

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
        ("aws_secret_access_key = 'wJalrXUtnFEMI'", "aws_secret_access_key = '[redacted]'"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = [redacted]"),
        ('{"secretAccessKey": "wJalrXUtnFEMI"}', '{"secretAccessKey": "[redacted]"}'),
        ("PASSWORD=hunter22", "PASSWORD=[redacted]"),
        ("export DB_PASSWORD=correcthorse && run", "export DB_PASSWORD=[redacted] && run"),
        ("connect(password=hunter22, port=1)", "connect(password=[redacted], port=1)"),
        ("/login?token=abc123def&password=hunter22&x=1", "/login?token=[redacted]&password=[redacted]&x=1"),
        ('token="abcdef123456"', 'token="[redacted]"'),
        ('{"password": 123456}', '{"password": [redacted]}'),
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
        "max_tokens=100000 max_token=1000000 eos_token='<|endoftext|>'",
        "the password: hunter22 is what you type",
        "Client(password=password, api_key=settings.api_key, token=load_token1())",
        "API_KEY=$OPENAI_API_KEY PASSWORD=${PASSWORD} SECRET=os.environ['SECRET']",
        "key = sorted(values2, key=lambda x: x)",
        "primary_key=customer_id12, token_count=123456",
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
        ("aws_secret_access_key", True),
        ("awsSecretAccessKey", True),
        ("token", True),
        ("mcp.token", True),
        ("hf_token", True),
        ("max_token", False),
        ("time_to_first_token", False),
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
        ("n", b"\xff\n", b"\xff\n"),
        ("n", b"key\nsk-" + b"a" * 20 + b"\xff", b"key\n[redacted]\xff"),
        ("n", bytearray(b"sk-" + b"a" * 20), b"[redacted]"),
        ("n", ["a", b"sk-" + b"a" * 20], ["a", b"[redacted]"]),
        ("password", "x", "[redacted]"),
        ("password", ["x"], "[redacted]"),
        ("password", 123456, "[redacted]"),
        ("password", b"x", "[redacted]"),
        ("password", True, True),
        ("password", "", ""),
    ],
)
def test_attributes_are_of_types_that_opentelemetry_takes(name, value, expected):
    assert scrub_attribute(name, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"password": 123456, "n": 1}, {"password": "[redacted]", "n": 1}),
        ([b"sk-" + b"a" * 20, b"x"], [b"[redacted]", b"x"]),
    ],
)
def test_what_others_recorded_is_scrubbed_alike(value, expected):
    assert redacted_value(value) == expected


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
        "PASSWORD=",
        "password=a",
        "token=1&",
        "token" + " " * 20,
        "hf_ghp_xox-",
    ],
)
def test_ten_megabytes_of_almost_a_secret_are_done_with(piece):
    text = piece * (10_000_000 // len(piece))

    # A pattern that goes back over its text would take hours here; this ends.
    assert len(scrub_text(text)) > 0
