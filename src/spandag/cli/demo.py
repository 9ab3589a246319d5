"""``spandag demo``."""

from __future__ import annotations

import os

import click

from spandag.cli._options import check_writable, json_option, opened_store, store_option, store_url


@click.command()
@click.option("--model", metavar="NAME", help="A real model for all agents; scripted by default.")
@click.option(
    "--base-url",
    metavar="URL",
    help="Its OpenAI-compatible API. [default: OpenAI's own, with $OPENAI_API_KEY]",
)
@store_option
@json_option
def demo(model: str | None, base_url: str | None, store: str | None, as_json: bool) -> None:
    """Let agents of AG2 and smolagents discover Kepler's third law, and show the run.

    Everything is executed for real, only the model is scripted unless --model names one.
    A reviewer rejects the first fit; the step is redone with the reviewer's hypothesis.
    """
    from spandag._setup import set_up
    from spandag.demo import run_demo
    from spandag.store.errors import StoreError

    url = store_url(store)
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true":
        try:
            check_writable(url)
        except StoreError as error:
            raise click.ClickException(str(error)) from error
    set_up(url=url, service_name="spandag-demo", capture_content=True)
    try:
        result = run_demo(model=model, base_url=base_url)
    except (ImportError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except Exception as error:
        if model is None:
            raise
        raise click.ClickException(f"the demo stopped: {type(error).__name__}: {error}") from error
    finally:
        _deliver()
    if result.run_id is None:
        raise click.ClickException("nothing was recorded: OTEL_SDK_DISABLED or the sampler turns tracing off")
    _show(result.run_id, store, as_json=as_json)


def _deliver() -> None:
    """Wait until the store has every span."""
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        flush()


def _show(run_id: str, store: str | None, *, as_json: bool) -> None:
    from spandag import query
    from spandag.cli._next import after_tree
    from spandag.cli._output import page, print_json, print_lines, say_next
    from spandag.query.render import render_tree

    with opened_store(store) as opened:
        found = query.tree(opened, run_id)
    if as_json:
        print_json(found)
        return
    print_lines([[], *render_tree(found, page())])
    say_next(after_tree(found), store)
