"""Two AG2 Classic agents and a tool; nothing in here knows about tracing.

OPENAI_API_KEY says whose account, OPENAI_BASE_URL another OpenAI-compatible server.
"""

import os

from autogen import AssistantAgent, UserProxyAgent, register_function


def orbital_period(semi_major_axis: float) -> float:
    """Period in years of a planet whose semi-major axis is given in astronomical units."""
    return round(semi_major_axis**1.5, 2)


astronomer = AssistantAgent(
    "astronomer",
    system_message="Compute with the tool, never by heart. Say TERMINATE when you are done.",
    llm_config={
        "config_list": [{"model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini")}],
        "cache_seed": None,
    },
)
user = UserProxyAgent(
    "user",
    human_input_mode="NEVER",
    code_execution_config=False,
    is_termination_msg=lambda message: "TERMINATE" in (message.get("content") or ""),
)
register_function(
    orbital_period, caller=astronomer, executor=user, description="Period of a planet, in years."
)
result = user.initiate_chat(astronomer, message="How long is a year on Mars, 1.524 astronomical units out?")
print(result.summary)
