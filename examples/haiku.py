"""A step that is done again until its result passes: the first screen of the README."""

from smolagents import OpenAIModel, ToolCallingAgent

import spandag

poet = ToolCallingAgent(tools=[], model=OpenAIModel("gpt-4o-mini"), name="poet", verbosity_level=0)

with spandag.run("haiku"):
    for attempt in spandag.step("write").attempts(max_redos=2):
        with attempt:
            poem = poet.run("A haiku about traces. " + (attempt.feedback or ""))
            if poem.count("\n") != 2:
                attempt.reject("A haiku has three lines.", requested_by="line count")
