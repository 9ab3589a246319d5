"""`import spandag`, `spandag.init` and `spandag.instrument`, each in a process of its own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest


@pytest.fixture
def python(tmp_path):
    """Run a program; gives what it printed and what it stored in ``runs.db``."""

    def python(program, **variables):
        environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": "", **variables}
        return subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return python


@pytest.fixture
def stored(tmp_path):
    def stored(sql="SELECT span_name FROM dag_nodes ORDER BY started_at", name="runs.db"):
        connection = sqlite3.connect(tmp_path / name)
        try:
            return [row[0] for row in connection.execute(sql)]
        finally:
            connection.close()

    return stored


WHERE = "spandag: recording to ~/runs.db\n"
RUN = "import spandag; spandag.init(url='sqlite:///runs.db', capture_content=False)\nwith spandag.run('r', task='t'): pass\n"


def test_importing_spandag_loads_neither_sdk_nor_store_nor_frameworks(python):
    done = python("import spandag, sys; print(*sys.modules)")
    heavy = (
        "opentelemetry.sdk",
        "sqlalchemy",
        "alembic",
        "smolagents",
        "ag2",
        "autogen",
        "genai_prices",
        "wrapt",
        "rich",
        "click",
    )
    assert [
        name for name in done.stdout.split() if name.split(".")[0] in heavy or name.startswith(heavy[0])
    ] == []


def test_init_is_all_that_a_program_needs(python, stored):
    done = python(RUN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", WHERE)
    assert stored() == ["invoke_workflow r"]


def test_init_twice_is_once(python, stored):
    done = python("import spandag; spandag.init(url='sqlite:///runs.db', capture_content=False)\n" + RUN)
    assert done.stderr == WHERE
    assert stored("SELECT count(*) FROM dag_nodes") == [1]


def test_init_keeps_a_provider_that_is_there_and_gives_it_our_exporter_once(python, stored):
    done = python(
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "provider = TracerProvider(); trace.set_tracer_provider(provider)\n"
        "import spandag; spandag.init(url='sqlite:///runs.db')\n"
        + RUN
        + "assert trace.get_tracer_provider() is provider\n"
    )
    assert (done.returncode, done.stderr) == (0, WHERE)
    assert stored() == ["invoke_workflow r"]


def test_init_with_a_provider_of_its_own_leaves_the_global_one_alone(python, stored):
    done = python(
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "provider = TracerProvider()\n"
        "import spandag; spandag.init(url='sqlite:///runs.db', tracer_provider=provider)\n"
        "with spandag.run('r'): pass\n"
        "print(type(trace.get_tracer_provider()).__name__)\n"
    )
    assert done.stdout == "ProxyTracerProvider\n"
    assert stored() == ["invoke_workflow r"]


TWO_PROVIDERS = (
    "import spandag\n"
    "from opentelemetry.sdk.trace import TracerProvider\n"
    "a, b = TracerProvider(), TracerProvider()\n"
    "def init(**further): spandag.init(url='sqlite:///runs.db', capture_content=False, **further)\n"
)


def test_every_provider_gets_our_exporter_once(python, stored):
    done = python(
        TWO_PROVIDERS
        + "for provider in (a, b, a, b):\n"
        + "    init(tracer_provider=provider)\n"
        + "init()\n"
        + "init()\n"
        + "from opentelemetry import trace\n"
        + "for provider, name in ((a, 'a'), (b, 'b'), (trace.get_tracer_provider(), 'c')):\n"
        + "    with provider.get_tracer('t').start_as_current_span(name): pass\n"
        + "from spandag.export import SpandagSpanExporter\n"
        + "print(len(SpandagSpanExporter.writing_to('sqlite:///runs.db')))\n"
    )
    assert done.stdout == "3\n"
    assert sorted(stored()) == ["a", "b", "c"]


def test_what_the_environment_has_set_up_is_not_set_up_again(python, stored):
    done = python(
        "from opentelemetry.instrumentation.auto_instrumentation import initialize; initialize()\n"
        + RUN
        + "from spandag.export import SpandagSpanExporter\n"
        + "print(len(SpandagSpanExporter.writing_to('sqlite:///runs.db')))\n",
        OTEL_PYTHON_DISTRO="distro",
        OTEL_TRACES_EXPORTER="spandag",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_EXPORTER_SPANDAG_URL="sqlite:///runs.db",
    )
    assert (done.stdout, done.stderr) == ("1\n", "")
    assert stored() == ["invoke_workflow r"]


def test_frameworks_that_write_elsewhere_are_warned_about(python):
    said = "smolagents is instrumented already, with another tracer provider"
    quiet = (
        TWO_PROVIDERS
        + "spandag.instrument(tracer_provider=a); init(tracer_provider=a); init(); spandag.instrument()\n"
    )
    assert python(quiet).stderr == WHERE
    assert python(quiet + "init(tracer_provider=b); init(tracer_provider=b)\n").stderr.count(said) == 1
    assert python(TWO_PROVIDERS + "spandag.instrument(tracer_provider=a); init()\n").stderr.count(said) == 1


def test_the_service_is_named(python, stored):
    python(
        "import spandag; spandag.init(url='sqlite:///runs.db', service_name='s')\nwith spandag.run('r'): pass\n"
    )
    assert stored("SELECT meta ->> 'service' FROM dag_nodes") == ["s"]


def test_exporters_of_the_environment_are_kept_beside_ours(python, stored):
    done = python(RUN, OTEL_TRACES_EXPORTER="console")
    assert '"name": "invoke_workflow r"' in done.stdout
    assert stored() == ["invoke_workflow r"]


def test_an_exporter_that_nobody_has_is_said_and_ours_works(python, stored):
    done = python(RUN, OTEL_TRACES_EXPORTER="spandag,nonesuch")
    said = "spandag: OTEL_TRACES_EXPORTER names no exporter that is installed: nonesuch\n"
    assert done.stderr == said + WHERE
    assert stored() == ["invoke_workflow r"]


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:hidden@127.0.0.1:1/runs", "postgresql://127.0.0.1:1/runs?user=me&password=hidden"],
)
def test_no_password_is_said(python, url):
    done = python(
        f"import spandag, sys; spandag.init(url={url!r}, capture_content=False)\nprint(*sys.modules)"
    )
    assert done.stderr.startswith("spandag: recording to postgresql://")
    assert "hidden" not in done.stderr
    assert "sqlalchemy" not in done.stdout.split()


CONTENT = "import spandag; spandag.init(url='sqlite:///runs.db')\nwith spandag.tool('t', arguments={'q': 1}): pass\n"


def test_content_is_recorded_and_that_is_said_where_the_store_is_the_only_place_it_goes_to(python, stored):
    done = python(CONTENT)
    too = ", message content too, as it goes nowhere else (init(capture_content=False) turns it off)"
    assert done.stderr == WHERE.rstrip("\n") + too + "\n"
    assert stored("SELECT content FROM messages") == ['{"q":1}']


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "NO_CONTENT"},
    ],
)
def test_content_is_not_recorded_where_it_would_leave_or_the_user_says_no(python, stored, variables):
    done = python(CONTENT, **variables)
    assert done.stderr == WHERE
    assert stored("SELECT content FROM messages") == []


def test_a_price_file_named_in_code_is_used(python, stored, tmp_path):
    (tmp_path / "prices.json").write_text('{"mine": {"input": 1, "output": 2}}')
    python(
        "import spandag; spandag.init(url='sqlite:///runs.db', prices='prices.json')\n"
        "with spandag.chat('mine') as chat: chat.set_usage(1_000_000, 500_000)\n"
    )
    assert stored("SELECT cost_usd FROM cost_records") == [2.0]


def test_a_disabled_sdk_stays_disabled(python, tmp_path):
    done = python(RUN, OTEL_SDK_DISABLED="true")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "runs.db").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////dev/null/sub/runs.db", "/dev/null/sub"),
        ("mongodb://somewhere/runs", "mongodb"),
        ("foo://", "foo"),
    ],
)
def test_a_store_that_cannot_be_written_is_one_message_and_the_program_runs_on(python, url, said):
    done = python(
        f"import spandag; spandag.init(url={url!r}, capture_content=False)\n"
        "with spandag.run('r'):\n    with spandag.tool('t'): print('result')\n"
    )
    assert (done.returncode, done.stdout) == (0, "result\n")
    first, *rest = done.stderr.splitlines()
    assert said in first
    assert "Traceback" not in done.stderr
    assert len(rest) <= 1


def test_open_store_reads_what_init_wrote(python):
    done = python(
        RUN
        + "from opentelemetry import trace; trace.get_tracer_provider().force_flush()\n"
        + "from spandag import query\n"
        + "with spandag.open_store('sqlite:///runs.db') as store:\n"
        + "    print([run.name for run in query.runs(store)])\n"
    )
    assert done.stdout == "['r']\n", done.stderr
