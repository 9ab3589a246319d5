"""A method that subclasses override, instrumented wherever it is defined, now or later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from spandag.instrumentation._base import Patches, Wrapper


class Overrides:
    """Wraps a method in a base class and in every subclass that defines its own.

    Subclasses that exist are found at once, those defined later by way of
    ``__init_subclass__``, and what has neither (a duck type, a mixin) when `cover`
    is called with it. A call that arrives by ``super()`` is passed through, so that
    one call of a user is seen once, at the outermost definition.
    """

    def __init__(self, patches: Patches, wrappers: dict[str, Wrapper]) -> None:
        """Remember what to wrap.

        Args:
            patches: Where the wrapping is noted, to be undone.
            wrappers: The wrapper of each method's name.
        """
        self._patches = patches
        self._wrappers = wrappers
        self._seen: WeakSet[type] = WeakSet()
        self._lock = threading.Lock()

    def follow(self, base: type) -> None:
        """Cover a class, its subclasses, and those that will be defined."""
        pending = [base]
        while pending:
            cls = pending.pop()
            self.cover(cls)
            pending.extend(cls.__subclasses__())
        self._patches.replace(base, "__init_subclass__", classmethod(self._init_subclass_of(base)))

    def cover(self, cls: type) -> None:
        """Wrap the methods wherever a class and its ancestors define them."""
        if cls in self._seen:
            return
        with self._lock:
            for owner in cls.__mro__:
                if owner in self._seen:
                    continue
                self._seen.add(owner)
                for name, wrapper in self._wrappers.items():
                    method = vars(owner).get(name)
                    if callable(method) and not getattr(method, "__isabstractmethod__", False):
                        self._patches.wrap(owner, name, _outermost(owner, name, wrapper))

    def _init_subclass_of(self, base: Any) -> Callable[..., None]:
        original = vars(base).get("__init_subclass__")

        def __init_subclass__(cls: Any, **kwargs: Any) -> None:
            if original is None:
                super(base, cls).__init_subclass__(**kwargs)
            else:
                original.__get__(None, cls)(**kwargs)
            self.cover(cls)

        return __init_subclass__


def _outermost(owner: type, name: str, wrapper: Wrapper) -> Wrapper:
    def outermost(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        if next((cls for cls in type(instance).__mro__ if name in vars(cls)), owner) is not owner:
            return wrapped(*args, **kwargs)
        return wrapper(wrapped, instance, args, kwargs)

    return outermost
