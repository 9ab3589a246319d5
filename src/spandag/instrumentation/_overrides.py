"""A method that subclasses override, instrumented wherever it is defined, now or later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from spandag._guard import guard, logger
from spandag.instrumentation._base import Patches, Wrapper


class Overrides:
    """Wraps a method in a base class and in every subclass that defines its own.

    Subclasses that exist are found at once, those defined later by way of
    ``__init_subclass__``, and what has neither (a duck type, a mixin) when `cover`
    is called with it. A call that arrives by ``super()`` is passed through, so that
    one call of a user is seen once, at the outermost definition; so is one of a class
    that only shares an ancestor with those.
    """

    def __init__(self, patches: Patches, wrappers: dict[str, Wrapper]) -> None:
        """Remember what to wrap.

        Args:
            patches: Where the wrapping is noted, to be undone.
            wrappers: The wrapper of each method's name.
        """
        self._patches = patches
        self._wrappers = wrappers
        self._bases: list[type] = []
        # By id, as a class need not be hashable; weak, so that a class made in a function can go.
        self._wrapped: WeakValueDictionary[int, type] = WeakValueDictionary()
        self._covered: WeakValueDictionary[int, type] = WeakValueDictionary()
        # A class may do as it likes when an attribute of it is set, such as to define another.
        self._lock = threading.RLock()

    def follow(self, base: type) -> None:
        """Cover a class, its subclasses, and those that will be defined."""
        self._bases.append(base)
        pending = [base]
        while pending:
            cls = pending.pop()
            self._wrap(cls)
            pending.extend(type.__subclasses__(cls))
        self._patches.replace(base, "__init_subclass__", classmethod(self._init_subclass_of(base)))

    def cover(self, cls: type) -> None:
        """Wrap the methods wherever a class and its ancestors define them."""
        if self._covered.get(id(cls)) is not cls:
            self._covered[id(cls)] = cls
            self._wrap(cls)

    def _wrap(self, cls: type) -> None:
        with self._lock:
            for owner in cls.__mro__:
                if self._wrapped.get(id(owner)) is owner:
                    continue
                self._wrapped[id(owner)] = owner
                for name, wrapper in self._wrappers.items():
                    try:
                        self._wrap_method(owner, name, wrapper)
                    except Exception:
                        # What its metaclass refuses is the class's own matter; its program goes on without us.
                        logger.debug("%r cannot be patched; it is not instrumented", owner, exc_info=True)

    def _wrap_method(self, owner: type, name: str, wrapper: Wrapper) -> None:
        method = vars(owner).get(name)
        # Asked of the class: wrappers that others have put around wrappers take for ever to answer.
        if callable(method) and name not in getattr(owner, "__abstractmethods__", ()):
            self._patches.wrap(owner, name, self._outermost(owner, name, wrapper))

    def _outermost(self, owner: type, name: str, wrapper: Wrapper) -> Wrapper:
        def outermost(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            cls = type(instance)
            defining = next((c for c in cls.__mro__ if name in vars(c)), owner)
            if defining is not owner or not self._is_ours(cls):
                return wrapped(*args, **kwargs)
            return wrapper(wrapped, instance, args, kwargs)

        return outermost

    def _is_ours(self, cls: type) -> bool:
        return self._covered.get(id(cls)) is cls or any(
            c is base for base in self._bases for c in cls.__mro__
        )

    def _init_subclass_of(self, base: Any) -> Callable[..., None]:
        original = vars(base).get("__init_subclass__")

        def __init_subclass__(cls: Any, **kwargs: Any) -> None:
            if original is None:
                super(base, cls).__init_subclass__(**kwargs)
            else:
                original.__get__(None, cls)(**kwargs)
            with guard("instrument a class"):
                self._wrap(cls)

        return __init_subclass__
