"""Patching is lazy, once, and undone to the identical object."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import subprocess
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import wrapt
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from spandag.instrumentation._base import FrameworkInstrumentor, Patches


@pytest.fixture
def framework() -> types.ModuleType:
    """A module with a class in it, as a framework might be."""
    module = types.ModuleType("some_framework")
    exec(
        "def helper(): return 'helped'\n"
        "class Base:\n"
        "    def run(self): return 'ran'\n"
        "    @classmethod\n"
        "    def make(cls): return cls.__name__\n"
        "    @staticmethod\n"
        "    def check(x): return x\n"
        "class Child(Base): pass\n",
        vars(module),
    )
    return module


def marking(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return f"<{wrapped(*args, **kwargs)}>"


@pytest.mark.parametrize("name", ["run", "make", "check"])
def test_a_method_of_any_kind_is_wrapped_and_put_back(framework, name):
    original = vars(framework.Base)[name]
    args = ("x",) if name == "check" else ()
    before = getattr(framework.Child(), name)(*args)
    patches = Patches()

    patches.wrap(framework.Base, name, marking)
    assert getattr(framework.Child(), name)(*args) == f"<{before}>"
    patches.undo()

    assert vars(framework.Base)[name] is original
    assert getattr(framework.Child(), name)(*args) == before


def test_a_function_of_a_module_is_wrapped_and_put_back(framework):
    original = framework.helper
    patches = Patches()

    patches.wrap(framework, "helper", marking)
    assert framework.helper() == "<helped>"
    patches.undo()

    assert framework.helper is original


def test_what_a_class_inherits_is_not_wrapped_on_it(framework):
    patches = Patches()

    patches.wrap(framework.Child, "run", marking)
    patches.wrap(framework, "no_such_thing", marking)

    assert "run" not in vars(framework.Child)
    assert not hasattr(framework, "no_such_thing")


def test_an_attribute_that_was_not_there_is_gone_again(framework):
    patches = Patches()

    patches.replace(framework.Child, "run", lambda self: "replaced")
    assert framework.Child().run() == "replaced"
    patches.undo()

    assert "run" not in vars(framework.Child)


def test_an_attribute_replaced_twice_is_the_first_again(framework):
    original = framework.helper
    patches = Patches()

    patches.wrap(framework, "helper", marking)
    patches.wrap(framework, "helper", marking)
    assert framework.helper() == "<<helped>>"
    patches.undo()

    assert framework.helper is original


def test_a_wrapper_that_others_put_on_top_stays_and_ours_is_passive(framework):
    patches = Patches()
    patches.wrap(framework.Base, "run", marking)
    ours = vars(framework.Base)["run"]

    def shouting(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return f"{wrapped(*args, **kwargs)}!"

    theirs = wrapt.FunctionWrapper(ours, shouting)
    framework.Base.run = theirs
    assert framework.Base().run() == "<ran>!"
    patches.undo()

    assert vars(framework.Base)["run"] is theirs
    assert framework.Base().run() == "ran!"


class Account:
    """Of this module, so that it can be pickled."""

    def __init__(self, balance: int) -> None:
        self.balance = balance

    def read(self) -> int:
        return self.balance

    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    @staticmethod
    def rate() -> int:
        return 3


def interest() -> int:
    return 4


@pytest.fixture
def account(monkeypatch) -> Iterator[Account]:
    module = sys.modules[__name__]
    patches = Patches()
    for name in ("read", "kind", "rate"):
        patches.wrap(Account, name, marking)
    patches.wrap(module, "interest", marking)
    yield Account(7)
    patches.undo()


@pytest.mark.parametrize(
    "again",
    [lambda value: pickle.loads(pickle.dumps(value)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_what_is_wrapped_is_pickled_and_copied_as_it_was_before(account, again):
    assert again(account.read)() == "<7>"
    assert again(account.kind)() == again(Account.kind)() == "<Account>"
    assert again(account.rate)() == again(Account.rate)() == "<3>"
    assert again(Account.read)(account) == "<7>"
    assert again(vars(sys.modules[__name__])["interest"])() == "<4>"


def test_a_copied_method_is_that_of_the_copied_object(account):
    assert copy.copy(account.read).__self__ is account
    copied = copy.deepcopy({"account": account, "read": account.read})
    assert copied["read"].__self__ is copied["account"] is not account


def test_a_class_that_is_wrapped_goes_when_its_program_is_done_with_it():
    patches = Patches()

    def make() -> weakref.ref[Any]:
        class Local:
            def run(self) -> object:
                return __class__  # type: ignore[name-defined]

        patches.wrap(Local, "run", marking)
        assert str(Local().run()).startswith("<<class")
        return weakref.ref(Local)

    gone = make()
    gc.collect()

    assert gone() is None
    patches.undo()


def test_wrappers_are_passed_by_under_suppression(framework):
    patches = Patches()
    patches.wrap(framework, "helper", marking)

    with suppress_instrumentation():
        assert framework.helper() == "helped"
    assert framework.helper() == "<helped>"


# --- an instrumentor -------------------------------------------------------------


class Instrumentor(FrameworkInstrumentor):
    module: ClassVar[str] = "spandag_test_framework"
    supported: ClassVar[tuple[tuple[int, int], tuple[int, int]]] = ((1, 2), (2, 0))
    requirements: ClassVar[tuple[str, ...]] = ("spandag-test-framework >= 1.2, < 2",)
    tracers: ClassVar[list[Tracer]] = []

    def _patch(self, tracer: Tracer, patches: Patches) -> None:
        self.tracers.append(tracer)
        patches.wrap(sys.modules[self.module], "helper", marking)


@pytest.fixture
def instrumentor() -> Iterator[Instrumentor]:
    Instrumentor.tracers.clear()
    instrumentor = Instrumentor()
    yield instrumentor
    instrumentor.uninstrument()


@pytest.fixture
def install(tmp_path, monkeypatch) -> Iterator[Any]:
    """Put the framework where it can be imported from, in a version."""

    def write(version: str) -> None:
        (tmp_path / "spandag_test_framework.py").write_text(
            f"__version__ = {version!r}\ndef helper(): return 'helped'\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    sys.modules.pop("spandag_test_framework", None)


def test_a_framework_that_is_not_installed_is_none_of_our_business(instrumentor, caplog):
    with caplog.at_level(logging.INFO, logger="spandag"):
        instrumentor.instrument()

    assert not instrumentor.is_instrumented_by_opentelemetry
    assert caplog.records == []


def test_a_framework_is_patched_once_it_is_imported_not_before(instrumentor, install):
    install("1.2.3")

    instrumentor.instrument()
    assert "spandag_test_framework" not in sys.modules
    import spandag_test_framework

    assert spandag_test_framework.helper() == "<helped>"


def test_a_framework_that_has_been_imported_is_patched_at_once(instrumentor, install, recorder, caplog):
    install("1.9.0")
    import spandag_test_framework

    with caplog.at_level(logging.INFO, logger="spandag"):
        instrumentor.instrument(tracer_provider=recorder.provider)

    assert spandag_test_framework.helper() == "<helped>"
    assert [record.getMessage() for record in caplog.records] == [
        "spandag: spandag_test_framework hooks are installed (spandag_test_framework 1.9.0)"
    ]
    with instrumentor.tracers[0].start_as_current_span("x"):
        pass
    assert recorder.spans[0].instrumentation_scope.name == "spandag.spandag_test_framework"


@pytest.mark.parametrize("version", ["1.1.9", "2.0.0", "0.9"])
def test_a_version_that_is_not_supported_is_left_alone(instrumentor, install, caplog, version):
    install(version)
    import spandag_test_framework

    with caplog.at_level(logging.INFO, logger="spandag"):
        instrumentor.instrument()
        assert spandag_test_framework.helper() == "helped"
        instrumentor.instrument()
        instrumentor.uninstrument()

    # It was never installed, so it is neither there already nor removed.
    [record] = caplog.records
    assert version in record.getMessage()
    assert "spandag-test-framework >= 1.2, < 2" in record.getMessage()


def test_instrumenting_twice_is_once(instrumentor, install, caplog):
    install("1.2.3")
    import spandag_test_framework

    instrumentor.instrument()
    with caplog.at_level(logging.INFO, logger="spandag"):
        Instrumentor().instrument()
        Instrumentor().instrument()

    assert spandag_test_framework.helper() == "<helped>"
    assert [record.getMessage() for record in caplog.records] == [
        "spandag: spandag_test_framework hooks are already installed"
    ]


def test_instrumenting_with_another_provider_is_warned_about(
    instrumentor, install, caplog, recorder, global_recorder
):
    install("1.2.3")
    instrumentor.instrument()

    with caplog.at_level(logging.WARNING, logger="spandag"):
        instrumentor.instrument(tracer_provider=global_recorder.provider)
        assert caplog.records == []  # the global one, which it has
        instrumentor.instrument(tracer_provider=TracerProvider())
        instrumentor.instrument(tracer_provider=TracerProvider())

    [record] = caplog.records
    assert "with another tracer provider" in record.getMessage()


def test_uninstrumenting_puts_everything_back(instrumentor, install):
    install("1.2.3")
    import spandag_test_framework

    original = spandag_test_framework.helper
    for _ in range(2):
        instrumentor.instrument()
        assert spandag_test_framework.helper() == "<helped>"
        instrumentor.uninstrument()
        assert spandag_test_framework.helper is original


def test_uninstrumenting_before_the_import_leaves_the_framework_alone(instrumentor, install):
    install("1.2.3")

    instrumentor.instrument()
    instrumentor.uninstrument()
    import spandag_test_framework

    assert spandag_test_framework.helper() == "helped"


def test_uninstrumenting_without_instrumenting_is_nothing(instrumentor, caplog):
    with caplog.at_level(logging.DEBUG):
        instrumentor.uninstrument()

    assert caplog.records == []


def test_a_patch_that_fails_leaves_nothing_half_done_and_the_import_works(install, monkeypatch):
    install("1.2.3")
    # As users have it: our own tests make every failure of ours surface.
    monkeypatch.delenv("SPANDAG_STRICT")

    class Failing(FrameworkInstrumentor):
        module = Instrumentor.module
        supported = Instrumentor.supported
        requirements = Instrumentor.requirements

        def _patch(self, tracer: Tracer, patches: Patches) -> None:
            patches.wrap(sys.modules[self.module], "helper", marking)
            raise RuntimeError("this version is different")

    failing = Failing()
    failing.instrument()
    import spandag_test_framework

    assert spandag_test_framework.helper() == "helped"
    failing.uninstrument()


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("SmolagentsInstrumentor", "smolagents"),
        ("AG2Instrumentor", "ag2"),
        ("AG2ClassicInstrumentor", "autogen"),
    ],
)
def test_instrumenting_imports_no_framework(name, module):
    room = {"AG2Instrumentor": "ag2", "AG2ClassicInstrumentor": "autogen"}.get(name, "smolagents")
    program = (
        f"import sys; from spandag.instrumentation.{room} import {name}; {name}().instrument(); "
        f"assert {module!r} not in sys.modules, sorted(sys.modules)"
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert finished.returncode == 0, finished.stderr
