"""What the three instrumentors share: when they patch, and how they undo it."""

from __future__ import annotations

import copy
import re
import sys
from abc import abstractmethod
from collections.abc import Callable, Collection
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar
from weakref import ref

import wrapt
from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Tracer, TracerProvider

from spandag import pricing
from spandag._guard import guard, logger
from spandag._version import __version__
from spandag.spans import providers

_MISSING = object()

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""A wrapt wrapper: called with the wrapped function, the instance, args and kwargs."""


class _BoundFunctionWrapper(wrapt.BoundFunctionWrapper):  # type: ignore[misc]
    """A wrapped method of an object: pickled and copied as methods are, by way of the object."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._owner(), self.__name__)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def __copy__(self) -> Any:
        return getattr(self._owner(), self.__name__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # A class stays itself.
        return getattr(copy.deepcopy(self._owner(), memo), self.__name__)

    def _owner(self) -> Any:
        try:
            return self.__self__
        except AttributeError:
            # A static method, or a function that is taken from its class.
            return self._self_owner


class _FunctionWrapper(wrapt.FunctionWrapper):  # type: ignore[misc]
    """A function with a wrapper of ours, which knows whose it is."""

    __bound_function_wrapper__ = _BoundFunctionWrapper

    def __init__(self, wrapped: Any, wrapper: Wrapper, patches: Patches) -> None:
        super().__init__(wrapped, wrapper, enabled=patches.enabled)
        self._self_patches = patches

    def __reduce__(self) -> str:
        # Functions are pickled by their names.
        return str(self.__qualname__)

    def __reduce_ex__(self, protocol: Any) -> str:
        return self.__reduce__()

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class Patches:
    """Every attribute an instrumentor replaced, to be put back as the identical object."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, object, object]] = []
        # The host's own classes come and go; what was wrapped in one is remembered by the wrapper in it.
        self._wrapped: dict[int, tuple[ref[Any], list[str]]] = {}
        self._active = True

    def wrap(self, owner: Any, name: str, wrapper: Wrapper) -> None:
        """Wrap a function or method where it is defined; what a version lacks is passed over.

        Under `suppress_instrumentation` the wrapper is passed by.

        Args:
            owner: The class or module that defines it (not one that inherits it).
            name: The attribute's name.
            wrapper: The wrapt wrapper.
        """
        original = vars(owner).get(name, _MISSING)
        if original is _MISSING:
            logger.debug("%s has no %s; not instrumented", owner, name)
            return
        setattr(owner, name, _FunctionWrapper(original, wrapper, self))
        key = id(owner)
        if key not in self._wrapped:
            self._wrapped[key] = (ref(owner, lambda _: self._wrapped.pop(key, None)), [])
        self._wrapped[key][1].append(name)

    def enabled(self) -> bool:
        """Whether what is wrapped shall be seen."""
        # If somebody wraps our wrapper, undoing leaves theirs in place; ours then only passes through.
        return self._active and is_instrumentation_enabled()

    def replace(self, owner: Any, name: str, value: object) -> None:
        """Replace an attribute of a framework's class or module."""
        original = vars(owner).get(name, _MISSING)
        setattr(owner, name, value)
        self._replaced.append((owner, name, original, value))

    def when_imported(self, module: str, patch: Callable[[ModuleType], None]) -> None:
        """Patch a module that the framework imports late, once it is imported (now, if it has been)."""

        def on_import(imported: ModuleType) -> None:
            if self._active:
                with guard(f"instrument {module}"):
                    patch(imported)

        wrapt.register_post_import_hook(on_import, module)

    def undo(self) -> None:
        """Put every original back that is still covered by us alone."""
        self._active = False
        for reference, names in list(self._wrapped.values()):
            owner = reference()
            for name in reversed(names):
                with guard("put an original back"):
                    self._unwrap(owner, name)
        self._wrapped.clear()
        for owner, name, original, value in reversed(self._replaced):
            if vars(owner).get(name, _MISSING) is not value:
                continue
            if original is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        self._replaced.clear()

    def _unwrap(self, owner: Any, name: str) -> None:
        value = vars(owner).get(name) if owner is not None else None
        if isinstance(value, _FunctionWrapper) and value._self_patches is self:
            setattr(owner, name, value.__wrapped__)


class FrameworkInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Base of the instrumentors: patches a framework once it is imported.

    `instrument` costs nothing where the framework is not installed, and does not
    import it where it is: the patches are applied when the program imports it, or
    at once if it has. Options: ``tracer_provider``.
    """

    module: ClassVar[str]
    """The framework's module; it counts, whatever the distribution is called."""
    supported: ClassVar[tuple[tuple[int, int], tuple[int, int]]]
    """Lowest supported (major, minor) and the first that is not."""
    requirements: ClassVar[tuple[str, ...]]
    """The same for pip."""

    _patches: Patches | None = None
    _provider: TracerProvider | None = None
    # Whether the patches are in place; the framework may never be imported, or be of another version.
    _installed = False
    _said_already = False

    def instrumentation_dependencies(self) -> Collection[str]:
        """The framework versions that are supported, as pip requirements."""
        return self.requirements

    def instrument(self, **kwargs: Any) -> None:
        """Patch the framework; a second call changes nothing.

        Args:
            **kwargs: ``tracer_provider``: the provider of the spans, the global one by default.
        """
        if self._is_instrumented_by_opentelemetry:
            self._say_already(kwargs.get("tracer_provider"))
            return
        if self.module not in sys.modules and find_spec(self.module) is None:
            logger.debug("spandag: %s is not installed", self.module)
            return
        # Version and module are checked here, by module, not by the distribution's name.
        kwargs.pop("skip_dep_check", None)
        super().instrument(skip_dep_check=True, **kwargs)

    def uninstrument(self, **kwargs: Any) -> None:
        """Put every patched attribute back; without `instrument` before it does nothing."""
        if self._is_instrumented_by_opentelemetry:
            super().uninstrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        provider = self._provider = kwargs.get("tracer_provider")
        providers.in_use(provider)
        patches = self._patches = Patches()
        self._said_already = False

        def on_import(module: ModuleType) -> None:
            if patches is self._patches:
                with guard(f"instrument {self.module}"):
                    self._patch_module(module, provider, patches)

        wrapt.register_post_import_hook(on_import, self.module)
        pricing.load_with_client()

    def _patch_module(self, module: ModuleType, provider: TracerProvider | None, patches: Patches) -> None:
        version = str(getattr(module, "__version__", ""))
        numbers = re.match(r"(\d+)\.(\d+)", version)
        low, high = self.supported
        if numbers is not None and not low <= (int(numbers[1]), int(numbers[2])) < high:
            logger.info(
                "spandag: %s %s is not instrumented, supported is %s",
                self.module,
                version,
                self.requirements[0],
            )
            return
        tracer = trace.get_tracer(f"spandag.{self.module}", __version__, provider)
        try:
            self._patch(tracer, patches)
        except BaseException:
            # Half a tree would mislead more than none.
            patches.undo()
            raise
        self._installed = True
        logger.info("spandag: %s hooks are installed (%s %s)", self.module, self.module, version)

    def _say_already(self, provider: TracerProvider | None) -> None:
        if self._said_already:
            return
        if provider is not None and provider is not (self._provider or trace.get_tracer_provider()):
            self._said_already = True
            logger.warning(
                "spandag: %s is instrumented already, with another tracer provider; its spans go on to that one."
                " Call uninstrument() first, or name the provider the first time",
                self.module,
            )
        elif self._installed:
            self._said_already = True
            logger.info("spandag: %s hooks are already installed", self.module)

    def _uninstrument(self, **kwargs: Any) -> None:
        if self._patches is not None:
            self._patches.undo()
            self._patches = self._provider = None
        if self._installed:
            self._installed = False
            logger.info("spandag: %s hooks are removed", self.module)

    @abstractmethod
    def _patch(self, tracer: Tracer, patches: Patches) -> None:
        """Install the framework's patches; called once it is imported."""
