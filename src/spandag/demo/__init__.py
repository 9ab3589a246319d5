"""The demo: AG2 and smolagents agents discover Kepler's third law, and redo a step on the way.

Everything is executed for real: frameworks, tools, code, HTTP. Only the model is scripted, unless one is named.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spandag.testing import Counted, ModelServer

if TYPE_CHECKING:
    from spandag.demo.story import Ending

INSTALL = "pip install 'spandag[smolagents,ag2]'"


@dataclass(frozen=True, slots=True)
class DemoResult:
    """How the demo ended.

    Attributes:
        run_id: The run's id, which is its trace id in hex; None if it is not recorded.
        accepted: Whether the reviewer accepted a law; False when the limit of redos was spent.
        exponent: The exponent of the last fitted power law, None if the last fit was none.
        attempts: How often the law was fitted.
        scripted: Whether the model was scripted.
        served: What the scripted model served, None with a real one.
    """

    run_id: str | None
    accepted: bool
    exponent: float | None
    attempts: int
    scripted: bool
    served: Counted | None = None


def run_demo(
    *, model: str | None = None, base_url: str | None = None, api_key: str | None = None
) -> DemoResult:
    """Run the story with scripted models, or with a real one.

    Lines of progress go to standard error. Setting up tracing is the caller's part.

    Args:
        model: A real model to use for all agents; by default the models are scripted.
        base_url: Base URL of its OpenAI-compatible API; by default OpenAI's own.
        api_key: The API's key; by default ``OPENAI_API_KEY``.

    Raises:
        ImportError: smolagents or AG2 is not installed; the message says what to install.
        ValueError: `base_url` without `model`, or OpenAI's API without a key.
    """
    if model is None:
        if base_url is not None:
            raise ValueError("a base URL needs the name of a model too (--model)")
        require_frameworks()
        return _run_scripted()
    endpoint_arguments = _real_endpoint(base_url, api_key)
    require_frameworks()
    from spandag.demo.agents import Endpoint
    from spandag.demo.story import tell

    say(f"The model is real: {model}.")
    endpoint = Endpoint(model, *endpoint_arguments)
    return _result(tell(lambda agent: endpoint, say), served=None)


def require_frameworks() -> None:
    """Check that both frameworks are there.

    Raises:
        ImportError: One is not; the message says what to install.
    """
    for framework in ("smolagents", "ag2", "openai"):
        try:
            importlib.import_module(framework)
        except ImportError as error:
            raise ImportError(f"the demo needs smolagents and AG2 1.x ({error}): {INSTALL}") from error


def say(line: str) -> None:
    """Print a line of progress to standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _run_scripted() -> DemoResult:
    from spandag.demo.agents import Endpoint
    from spandag.demo.script import ACTORS, MODELS
    from spandag.demo.story import tell

    say("The model is scripted: a server on this machine answers. Frameworks, tools, code and HTTP are real.")
    with ModelServer(ACTORS, models=tuple(sorted(set(MODELS.values())))) as server:

        def endpoint(agent: str) -> Endpoint:
            # Loopback, whatever proxy the environment names.
            return Endpoint(MODELS[agent], server.url_for(agent), "scripted", trust_env=False)

        ending = tell(endpoint, say)
        return _result(ending, served=server.counted())


def _real_endpoint(base_url: str | None, api_key: str | None) -> tuple[str | None, str | None]:
    key = api_key or os.environ.get("OPENAI_API_KEY")
    if key is None and base_url is None:
        raise ValueError("set OPENAI_API_KEY, or name another API with --base-url")
    # Local servers ask for no key, but OpenAI's client wants one.
    return base_url, key or "none"


def _result(ending: Ending, served: Counted | None) -> DemoResult:
    return DemoResult(
        run_id=ending.run_id,
        accepted=ending.accepted,
        exponent=ending.exponent,
        attempts=ending.attempts,
        scripted=served is not None,
        served=served,
    )
