"""The agents of the story, as AG2 and smolagents users build them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import openai
from ag2 import Agent
from ag2.config import OpenAIConfig
from pydantic import BaseModel, Field
from smolagents import CodeAgent, LogLevel, OpenAIServerModel, ToolCallingAgent, tool
from smolagents.local_python_executor import LocalPythonExecutor

from spandag.demo.tools import check_residuals, describe_pairs, fit_line, read_table

PLANNER_PROMPT = (
    "You are the planner. You write short plans, one numbered line for each step, for a team of agents."
)
REVIEWER_PROMPT = (
    "You are the reviewer. You judge a law that was fitted to the planets. Check its residuals with your tool "
    "before you judge. Accept it only if every period is reproduced to 5 %. If you reject it, give a hypothesis: "
    "what to try instead, in one sentence."
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model of an agent is.

    Attributes:
        model: Its name.
        base_url: Base URL of an OpenAI-compatible API; OpenAI's own by default.
        api_key: The key; by default what ``OPENAI_API_KEY`` says.
        trust_env: Whether to honour the proxy variables of the environment.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = None
    trust_env: bool = True


class Verdict(BaseModel):
    """The reviewer's judgement of a fit."""

    accepted: bool = Field(description="Whether the law describes the data.")
    reason: str = Field(description="Why, with the residuals that were found.")
    hypothesis: str | None = Field(description="What to try instead; null if the law is accepted.")


async def ask_planner(endpoint: Endpoint, task: str) -> str:
    """Have the AG2 planner write a plan."""
    async with _async_http(endpoint) as http:
        planner = Agent("planner", PLANNER_PROMPT, config=_ag2_config(endpoint, http))
        reply = await planner.ask(task)
        return reply.body or ""


async def ask_reviewer(endpoint: Endpoint, result: str) -> Verdict:
    """Have the AG2 reviewer judge a result.

    Raises:
        ValueError: The model's answer is no verdict.
    """
    async with _async_http(endpoint) as http:
        reviewer = Agent(
            "reviewer",
            REVIEWER_PROMPT,
            config=_ag2_config(endpoint, http),
            tools=[check_residuals],
            response_schema=Verdict,
        )
        reply = await reviewer.ask(result)
        verdict = await reply.content()
    if not isinstance(verdict, Verdict):
        raise ValueError("the reviewer gave no verdict")
    return verdict


def run_loader(endpoint: Endpoint, task: str) -> Any:
    """Have the smolagents ToolCallingAgent read the table."""
    with _http(endpoint) as http:
        loader = ToolCallingAgent(
            name="loader",
            description="Reads tables.",
            tools=[tool(read_table)],
            model=_smolagents_model(endpoint, http),
            max_steps=4,
            verbosity_level=LogLevel.OFF,
        )
        return loader.run(task)


def run_analyst(endpoint: Endpoint, checker_endpoint: Endpoint, task: str, data: Mapping[str, Any]) -> Any:
    """Have the smolagents CodeAgent fit the law, with a managed sub-agent that looks at the data.

    Args:
        endpoint: The analyst's model.
        checker_endpoint: The sub-agent's model.
        task: What to do.
        data: Variables for the analyst's code.
    """
    with _http(endpoint) as http:
        data_checker = ToolCallingAgent(
            name="data_checker",
            description="Describes pairs of numbers before something is fitted to them. "
            "Give it the two lists as additional_args, under the names x and y.",
            tools=[tool(describe_pairs)],
            model=_smolagents_model(checker_endpoint, http),
            max_steps=4,
            verbosity_level=LogLevel.OFF,
        )
        analyst = CodeAgent(
            name="analyst",
            description="Fits laws to data.",
            tools=[tool(fit_line)],
            managed_agents=[data_checker],
            model=_smolagents_model(endpoint, http),
            planning_interval=2,
            max_steps=8,
            verbosity_level=LogLevel.OFF,
            executor_kwargs=_patient_executor(),
        )
        return analyst.run(task, additional_args=dict(data))


def _patient_executor() -> dict[str, Any]:
    """Give code that waits for a sub-agent more than the 30 s that smolagents allows by default (since 1.24)."""
    known = inspect.signature(LocalPythonExecutor.__init__).parameters
    return {"timeout_seconds": 600} if "timeout_seconds" in known else {}


def _ag2_config(endpoint: Endpoint, http: openai.DefaultAsyncHttpxClient) -> Any:
    return OpenAIConfig(
        model=endpoint.model, base_url=endpoint.base_url, api_key=endpoint.api_key, http_client=http
    )


# Clients of our own, closed by whoever opened them: the frameworks leave theirs open.


def _async_http(endpoint: Endpoint) -> openai.DefaultAsyncHttpxClient:
    return openai.DefaultAsyncHttpxClient(trust_env=endpoint.trust_env)


def _http(endpoint: Endpoint) -> openai.DefaultHttpxClient:
    return openai.DefaultHttpxClient(trust_env=endpoint.trust_env)


def _smolagents_model(endpoint: Endpoint, http: openai.DefaultHttpxClient) -> Any:
    # The name that every supported release has; newer ones call it OpenAIModel.
    return OpenAIServerModel(
        endpoint.model,
        api_base=endpoint.base_url,
        api_key=endpoint.api_key,
        client_kwargs={"http_client": http},
    )
