"""CrewAI's agents with the package's tools, in an environment of its own."""

import asyncio
import json
from typing import Any, ClassVar

import pytest
import skytale
from test_tools import CALLS, NAMES, channel_and_toolboxes


@pytest.mark.filterwarnings("default")  # Those of CrewAI about itself.
def test_crewai(skytale_relay: skytale.LocalRelay, monkeypatch) -> None:
    monkeypatch.setenv("CREWAI_DISABLE_TELEMETRY", "true")
    import crewai
    from skytale.integrations import crewai as integration

    class Scripted(crewai.BaseLLM):
        steps: ClassVar[int] = 0
        seen: ClassVar[str] = ""

        def supports_function_calling(self) -> bool:
            return False

        def call(self, messages: Any, *_: Any, **__: Any) -> str:
            text = messages if isinstance(messages, str) else "\n".join(str(m["content"]) for m in messages)
            step = Scripted.steps
            Scripted.steps += 1
            if step < len(CALLS):
                name, arguments = CALLS[step]
                return f"Thought: on\nAction: {name}\nAction Input: {json.dumps(arguments)}\n"
            Scripted.seen = text
            return "Thought: I now know the final answer\nFinal Answer: done"

    async def use(toolbox, other: skytale.Channel) -> None:
        tools = integration.tools(toolbox)
        assert [tool.name for tool in tools] == [f"skytale_{name}" for name in NAMES]
        agent = crewai.Agent(role="Alice", goal="answer", backstory="an agent", tools=tools, llm=Scripted(model="none"))
        task = crewai.Task(description="read, and answer", expected_output="done", agent=agent)
        crew = crewai.Crew(agents=[agent], tasks=[task])
        result = await asyncio.to_thread(crew.kickoff)
        assert result.raw == "done"
        await check_said(Scripted.seen, other)

    channel_and_toolboxes(skytale_relay, "a/b/room", use)


async def check_said(seen: str, other: skytale.Channel) -> None:
    for text in ("the answer is 42", "a/agents/bob", '"sequence"', "not_a_member"):
        assert text in seen
    assert (await other.receive()).text == "I have read it"
