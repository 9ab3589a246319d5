"""Tokens to cost.

A user's price file wins over `genai-prices`; what neither knows has no price,
never a price of 0.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from spandag._guard import guard, say_once
from spandag.config import ENV_PRICES

SOURCE_USER = "user"
SOURCE_GENAI_PRICES = "genai-prices"
SOURCE_PROVIDER = "provider"

_PER_MILLION = 1_000_000
# Far above any price; beyond it somebody has mistaken the unit, or written a number that no float holds.
_HIGHEST_RATE = 1e9
_RATES = ("input", "output", "cache_read", "cache_write")


class Usage(NamedTuple):
    """Tokens of one logical model call, counted as the GenAI conventions do.

    Attributes:
        input_tokens: All input tokens, cached ones included.
        output_tokens: All output tokens, reasoning included.
        cache_read_tokens: Input tokens that came from the provider's cache.
        cache_write_tokens: Input tokens written to the provider's cache.
        reasoning_tokens: Output tokens spent on reasoning.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What a call cost.

    Attributes:
        cost: USD.
        source: `SOURCE_USER`, `SOURCE_GENAI_PRICES` or `SOURCE_PROVIDER`.
    """

    cost: float
    source: str


class PriceFileError(ValueError):
    """A price file cannot be used; the message says why and what it should look like."""


def price(model: str | None, provider: str | None, usage: Usage) -> Price | None:
    """What a call cost, or None where no price is known.

    Args:
        model: The model's name, with or without a provider prefix such as ``openai/``.
        provider: The provider as in ``gen_ai.provider.name``, if known.
        usage: The call's tokens.
    """
    if not model or (not usage.input_tokens and not usage.output_tokens):
        return None
    user = _user_rates(_price_file or os.environ.get(ENV_PRICES) or None)
    rates = user.get(model) or user.get(_bare(model))
    if rates is not None:
        return Price(_at_rates(rates, usage), SOURCE_USER)
    known = _known_model(model, provider)
    if known is None:
        return None
    cost = _genai_price(known, usage)
    return None if cost is None else Price(cost, SOURCE_GENAI_PRICES)


def use_price_file(path: str | None) -> None:
    """Let a price file named in code win over the one of the environment.

    Args:
        path: The file, as `read_price_file` takes it; None goes back to the environment.
    """
    global _price_file
    _price_file = path


_price_file: str | None = None


def load() -> None:
    """Load the price data, so that no model call seems to take the time for it.

    Always in the thread of the caller: a library that is half imported in the background
    is seen by others. The openai client takes what it finds under the name of its HTTP
    library in `sys.modules` without waiting, and `genai-prices` imports that library too.
    """
    with guard("load the price data"):
        _known_model("gpt-4o", "openai")


@lru_cache(maxsize=1)
def load_with_client() -> None:
    """Load the price data when the program imports the openai client, or now if it has."""
    import wrapt

    with guard("load the price data"):
        wrapt.register_post_import_hook(lambda _: load(), "openai")


# --- the user's own prices -----------------------------------------------------


@lru_cache(maxsize=8)
def _user_rates(path: str | None) -> dict[str, dict[str, float]]:
    """The user's price file; a broken one is said once and ignored."""
    if path is None:
        return {}
    try:
        return read_price_file(Path(path).expanduser())
    except PriceFileError as error:
        say_once(logging.WARNING, f"prices:{path}", "%s; built-in prices are used", error)
        return {}


def read_price_file(path: Path) -> dict[str, dict[str, float]]:
    """Read a file of prices in USD per million tokens.

    The file is a JSON object from model name to an object with ``input`` and
    ``output``, and optionally ``cache_read`` and ``cache_write`` (both are
    charged at the ``input`` rate where absent)::

        {"my-model": {"input": 0.5, "output": 1.5, "cache_read": 0.05}}

    Raises:
        PriceFileError: The file is missing, no JSON, or not of that form.
    """
    try:
        if path.exists() and not path.is_file():
            # Reading a pipe would wait for whoever writes to it.
            raise PriceFileError(f"{ENV_PRICES}: cannot read {path} (it is not a file)")
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PriceFileError(f"{ENV_PRICES}: cannot read {path} ({error.strerror})") from error
    except PriceFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise PriceFileError(f"{ENV_PRICES}: {path} is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise PriceFileError(f"{ENV_PRICES}: {path} must be an object from model name to prices")
    return {model: _checked(path, model, rates) for model, rates in data.items()}


def _checked(path: Path, model: str, rates: object) -> dict[str, float]:
    example = f'{{"{model}": {{"input": 0.5, "output": 1.5}}}} in USD per million tokens'
    if not isinstance(rates, dict) or "input" not in rates or "output" not in rates:
        raise PriceFileError(f"{ENV_PRICES}: {path}: {model!r} needs input and output, as in {example}")
    for name, value in rates.items():
        if name not in _RATES:
            raise PriceFileError(
                f"{ENV_PRICES}: {path}: {model!r} has {name!r}; known are {', '.join(_RATES)}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _HIGHEST_RATE:
            raise PriceFileError(f"{ENV_PRICES}: {path}: {model!r} {name} must be a number, not {value!r}")
    return {name: float(value) for name, value in rates.items()}


def _at_rates(rates: dict[str, float], usage: Usage) -> float:
    read = min(usage.cache_read_tokens or 0, usage.input_tokens or 0)
    write = min(usage.cache_write_tokens or 0, (usage.input_tokens or 0) - read)
    plain = (usage.input_tokens or 0) - read - write
    return (
        plain * rates["input"]
        + read * rates.get("cache_read", rates["input"])
        + write * rates.get("cache_write", rates["input"])
        + (usage.output_tokens or 0) * rates["output"]
    ) / _PER_MILLION


# --- genai-prices ----------------------------------------------------------------

# Values of gen_ai.provider.name that genai-prices spells differently.
_PROVIDER_IDS = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "aws.bedrock": "aws",
    "gcp.vertex_ai": "google",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
}
# Libraries that pass the call on to the provider in the model's prefix.
_ROUTERS = frozenset({"litellm", "_OTHER"})
# Where a model runs on a machine of one's own, its maker's prefix says nothing about its price.
_SELF_HOSTED = frozenset({"transformers", "vllm", "mlx", "ollama"})


def _bare(model: str) -> str:
    """The model without a provider prefix: ``openai/gpt-5-mini`` is ``gpt-5-mini``."""
    return model.rsplit("/", 1)[-1]


@lru_cache(maxsize=1024)
def _known_model(model: str, provider: str | None) -> tuple[Any, Any] | None:
    """The provider and model in `genai-prices`; one look-up takes 0.3 ms, so it is remembered."""
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    bare = _bare(model)
    prefix = model.split("/", 1)[0] if "/" in model else None
    if provider in _SELF_HOSTED or prefix in _SELF_HOSTED:
        return None
    # Who serves the model before who made it: the same model has another price elsewhere.
    named = [_PROVIDER_IDS.get(p, p) for p in (provider, prefix) if p and p not in _ROUTERS]
    # Without a provider, whoever is known to make the model. A provider that is named but not
    # known (a server of one's own) has its own price: better none than a wrong one.
    candidates: list[str | None] = [*named] or [None]
    for provider_id in candidates:
        for name in dict.fromkeys((model, bare)):
            try:
                found: tuple[Any, Any] = snapshot.find_provider_model(name, None, provider_id, None)
            except LookupError:
                continue
            return found
    return None


def _genai_price(known: tuple[Any, Any], usage: Usage) -> float | None:
    from genai_prices import Usage as GenaiUsage

    provider, model = known
    read = min(usage.cache_read_tokens or 0, usage.input_tokens or 0)
    try:
        calculation = model.calc_price(
            GenaiUsage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                # The library refuses more cached than input tokens.
                cache_read_tokens=read or None,
                cache_write_tokens=min(usage.cache_write_tokens or 0, (usage.input_tokens or 0) - read)
                or None,
            ),
            provider,
        )
    except (LookupError, ValueError):
        return None
    return float(calculation.total_price)
