"""The environment is the one that the test command means, so that nothing is skipped unnoticed."""

from __future__ import annotations

import importlib.util
import os

import pytest


def test_the_frameworks_of_this_environment_are_installed():
    expected = os.environ.get("SPANDAG_TEST_FRAMEWORKS")
    if expected is None:
        pytest.skip("SPANDAG_TEST_FRAMEWORKS does not say which frameworks are expected; `make test` does")
    missing = [name for name in expected.split(",") if importlib.util.find_spec(name) is None]
    assert missing == []
