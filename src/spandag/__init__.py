"""OpenTelemetry for AG2 and smolagents, with a local DAG of every run."""

__version__ = "0.1.0"
