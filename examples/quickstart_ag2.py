"""An AG2 1.x agent with a tool. There is nothing of spandag in here: `spandag run -- python quickstart_ag2.py`."""

import asyncio
import os

from ag2 import Agent, tool
from ag2.config import OpenAIConfig


@tool
def orbital_period(semi_major_axis: float) -> float:
    """Period in years of a planet whose semi-major axis is given in astronomical units."""
    return round(semi_major_axis**1.5, 2)


async def main() -> None:
    astronomer = Agent(
        "astronomer",
        "You answer questions about planets. Compute with the tool, never by heart.",
        config=OpenAIConfig(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini")),
        tools=[orbital_period],
    )
    reply = await astronomer.ask("How long is a year on Jupiter, 5.2 astronomical units from the Sun?")
    print(reply.body)


asyncio.run(main())
