"""A smolagents agent with a tool; nothing in here knows about tracing.

OPENAI_API_KEY says whose account, OPENAI_BASE_URL another OpenAI-compatible server.
"""

import os

from smolagents import OpenAIModel, ToolCallingAgent, tool


@tool
def orbital_period(semi_major_axis: float) -> float:
    """Compute the period of a planet's orbit around the sun, in years.

    Args:
        semi_major_axis: Half the orbit's longest diameter, in astronomical units.
    """
    return semi_major_axis**1.5


model = OpenAIModel(
    model_id=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
    api_base=os.environ.get("OPENAI_BASE_URL"),
    api_key=os.environ["OPENAI_API_KEY"],
)
agent = ToolCallingAgent(tools=[orbital_period], model=model, name="astronomer", description="Knows orbits.")
print(agent.run("How long does Mars take around the sun? Its semi-major axis is 1.524 au."))
