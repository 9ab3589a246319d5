"""The one place where spandag's spans are opened and ended.

Instrumentors and the workflow API both open their nodes here, so that names,
attributes, nesting, errors and totals are the same whoever opened them. It
needs the OpenTelemetry API only.
"""
