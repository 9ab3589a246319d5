"""A method is seen wherever a subclass defines it, once, and never at the expense of somebody else's class."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pytest

from spandag.instrumentation._base import Patches
from spandag.instrumentation._overrides import Overrides


class Fixed(type):
    """A metaclass that has its classes as they were written."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise AttributeError(f"{cls.__name__} is fixed")


class Equal(type):
    """A metaclass that says when classes are equal, and so makes them unhashable."""

    def __eq__(cls, other: object) -> bool:
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


class Framework:
    def __init__(self) -> None:
        class Model:
            def generate(self) -> str:
                return "model"

        self.Model: Any = Model
        self.patches = Patches()
        self.seen: list[str] = []
        self.overrides = Overrides(self.patches, {"generate": self._see})

    def _see(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        self.seen.append(type(instance).__name__)
        return wrapped(*args, **kwargs)

    def follow(self) -> None:
        self.overrides.follow(self.Model)


@pytest.fixture
def framework() -> Any:
    framework = Framework()
    yield framework
    framework.patches.undo()


def define(framework: Framework, metaclass: Any) -> Any:
    class Mine(framework.Model, metaclass=metaclass):
        def generate(self) -> str:
            return f"mine and {super().generate()}"

    return Mine


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
def test_a_class_that_cannot_be_patched_is_left_alone(framework, early, caplog):
    with caplog.at_level(logging.DEBUG, logger="spandag"):
        if early:
            mine = define(framework, Fixed)
            framework.follow()
        else:
            framework.follow()
            mine = define(framework, Fixed)

    assert mine().generate() == "mine and model"
    assert framework.Model().generate() == "model"
    assert framework.seen == ["Model"]
    assert "cannot be patched" in caplog.text


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
def test_a_class_need_not_be_hashable(framework, early):
    if early:
        mine = define(framework, Equal)
        framework.follow()
    else:
        framework.follow()
        mine = define(framework, Equal)

    assert mine().generate() == "mine and model"
    assert framework.seen == ["Mine"]


def test_a_class_that_only_shares_an_ancestor_is_somebody_elses(framework):
    class Library:
        def generate(self) -> str:
            return "library"

    framework.follow()

    class Bridge(Library, framework.Model):
        pass

    class Unrelated(Library):
        pass

    assert (Bridge().generate(), Unrelated().generate(), Library().generate()) == ("library",) * 3
    assert framework.seen == ["Bridge"]


def test_what_is_covered_by_name_is_seen_though_it_derives_from_nothing(framework):
    class Duck:
        def generate(self) -> str:
            return "quack"

    class Drake(Duck):
        pass

    framework.overrides.cover(Drake)

    assert Drake().generate() == Duck().generate() == "quack"
    assert framework.seen == ["Drake"]
    framework.overrides.cover(Duck)
    Duck().generate()
    assert framework.seen == ["Drake", "Duck"]


def test_a_class_made_in_a_function_goes_with_it(framework):
    framework.follow()

    def make() -> weakref.ref[Any]:
        mine = define(framework, type)
        mine().generate()
        framework.overrides.cover(mine)
        return weakref.ref(mine)

    gone = make()
    gc.collect()

    assert gone() is None
