"""The Collector and Jaeger configurations are whole: every part that is used is defined, and used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "collector-config"
VARIABLE = re.compile(r"\$\{env:(\w+):-([^}]+)\}")


@pytest.fixture(params=["jaeger.yaml", "local.yaml"])
def configuration(request):
    return yaml.safe_load((FOLDER / request.param).read_text())


@pytest.fixture
def jaeger():
    return yaml.safe_load((FOLDER / "jaeger.yaml").read_text())


@pytest.fixture
def local():
    return yaml.safe_load((FOLDER / "local.yaml").read_text())


def default(value):
    match = VARIABLE.fullmatch(value)
    assert match, f"{value} is not a variable with a default"
    return match[2]


def test_pipelines_use_what_is_defined_and_nothing_is_defined_in_vain(configuration):
    for kind in ("receivers", "processors", "exporters"):
        used = {name for p in configuration["service"]["pipelines"].values() for name in p.get(kind, [])}
        assert used == set(configuration[kind])
    assert set(configuration["service"].get("extensions", [])) == set(configuration.get("extensions", {}))


def test_otlp_comes_in_at_the_standard_ports_of_this_machine(configuration):
    protocols = configuration["receivers"]["otlp"]["protocols"]
    assert default(protocols["grpc"]["endpoint"]) == "127.0.0.1:4317"
    assert default(protocols["http"]["endpoint"]) == "127.0.0.1:4318"


def test_no_port_is_taken_for_its_own_metrics(configuration):
    # Both would take the same, and the second would not start.
    assert configuration["service"]["telemetry"]["metrics"] == {"level": "none"}


def test_the_memory_limiter_comes_first(local):
    assert local["service"]["pipelines"]["traces"]["processors"][0] == "memory_limiter"


def test_the_collector_sends_to_where_its_comment_puts_jaeger_and_to_a_file(local):
    assert local["service"]["pipelines"]["traces"]["exporters"] == ["otlp/jaeger", "file"]
    assert default(local["exporters"]["otlp/jaeger"]["endpoint"]) == "127.0.0.1:14317"
    assert "JAEGER_OTLP_GRPC=127.0.0.1:14317" in (FOLDER / "jaeger.yaml").read_text()
    assert local["exporters"]["file"]["format"] == "json"


def test_jaeger_reads_from_the_storage_that_it_writes_to(jaeger):
    [storage] = jaeger["extensions"]["jaeger_storage"]["backends"]
    assert jaeger["extensions"]["jaeger_query"]["storage"]["traces"] == storage
    assert jaeger["exporters"]["jaeger_storage_exporter"]["trace_storage"] == storage
