"""Started by Python itself in every Python process below ``spandag run``.

This folder is put first on ``PYTHONPATH``, so that the interpreter imports this
module before the program. It hands over to the ``sitecustomize`` that would have
been imported otherwise, then sets up OpenTelemetry as the environment says.

It may run in any Python 3, without spandag or OpenTelemetry, and must never
break the program. So it imports nothing of ours at the top and catches all.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_SAID = "_SPANDAG_RUN_SAID"


def _import_the_next() -> None:
    """Import the ``sitecustomize`` that this one stands in front of, if there is one."""
    sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != _HERE]
    ours = sys.modules.pop("sitecustomize", None)
    try:
        __import__("sitecustomize")
    except ImportError as error:
        if ours is not None:
            sys.modules["sitecustomize"] = ours
        if getattr(error, "name", None) != "sitecustomize":
            raise


def _set_up() -> None:
    """Set up OpenTelemetry, unless the next ``sitecustomize`` was its own and has."""
    from importlib.util import find_spec

    if find_spec("spandag") is None:
        _say(
            "spandag is not installed in {0}, so what runs there is not recorded; "
            "install it with: {0} -m pip install spandag".format(sys.executable or "this Python")
        )
        return
    from opentelemetry import context
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.instrumentation import auto_instrumentation
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    theirs = os.path.join(os.path.dirname(os.path.abspath(auto_instrumentation.__file__)), "sitecustomize.py")
    if getattr(sys.modules.get("sitecustomize"), "__file__", None) != theirs:
        auto_instrumentation.initialize()
    carrier = {name.lower(): os.environ.get(name, "") for name in ("TRACEPARENT", "TRACESTATE", "BAGGAGE")}
    # Never detached: what the program starts by itself belongs to the command's span.
    context.attach(W3CBaggagePropagator().extract(carrier, TraceContextTextMapPropagator().extract(carrier)))


def _guarded_set_up() -> None:
    # Programs that are started meanwhile must not set up OpenTelemetry in turn.
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        entry for entry in (path or "").split(os.pathsep) if entry and os.path.abspath(entry) != _HERE
    )
    try:
        _set_up()
    except Exception as error:
        _say(f"recording could not be set up ({type(error).__name__}: {error}); the program runs without it")
    finally:
        if path is not None:
            os.environ["PYTHONPATH"] = path


def _say(message: str) -> None:
    # The programs that this one starts would only say it again.
    if not os.environ.get(_SAID):
        os.environ[_SAID] = "1"
        sys.stderr.write("spandag: " + message + "\n")


try:
    _import_the_next()
finally:
    _guarded_set_up()
