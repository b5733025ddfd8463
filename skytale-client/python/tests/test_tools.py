"""The tools themselves, and as the real frameworks call them, with a model that says what it is told to."""

import asyncio
import json
import threading
from typing import Any

import pytest
import skytale
from conftest import Place, run
from skytale.tools import Toolbox, ToolInputError

NAMES = ["create", "invite", "add", "join", "send", "receive", "members", "history", "channels"]


def test_every_tool_has_a_schema_and_does_its_work(closed_server: Place, channel_name: str) -> None:
    keyed = closed_server.keyed("alice")
    of_alices_account = keyed | {"name": closed_server.agent("cyd")["name"]}

    async def main() -> None:
        async with (
            skytale.Client(**keyed) as alice,
            skytale.Client(**closed_server.keyed("bob")) as bob,
            skytale.Client(**of_alices_account) as cyd,
        ):
            a, b, c = Toolbox(alice), Toolbox(bob), Toolbox(cyd)
            assert [tool.name for tool in a.tools()] == NAMES
            for tool in a.tools():
                assert tool.description and tool.parameters["additionalProperties"] is False
                assert all(about["description"] for about in tool.parameters["properties"].values())
            assert await a.call("create", channel=channel_name) == {"channel": channel_name, "members": [alice.name]}
            invite = (await a.call("invite", channel=channel_name))["invite"]
            joined = await b.call("join", channel=channel_name, invite=invite)
            assert sorted(joined["members"]) == sorted([alice.name, bob.name])
            await cyd.wait_until_addable()
            assert len((await a.call("add", channel=channel_name, agent=cyd.name))["members"]) == 3
            assert (await c.call("channels")) == {"member_of": [], "invited_to": [channel_name]}
            await c.call("join", channel=channel_name)
            numbers = [(await a.call("send", channel=channel_name, text=f"say {n}"))["sequence"] for n in range(3)]
            heard: list[dict] = []
            while len(heard) < 3:
                heard += (await b.call("receive", channel=channel_name, wait_seconds=20))["messages"]
            assert [(m["sequence"], m["sender"], m["text"]) for m in heard] == [
                (number, alice.name, f"say {n}") for n, number in enumerate(numbers)
            ]
            assert (await b.call("receive", channel=channel_name, wait_seconds=0))["messages"] == []
            await b.call("send", channel=channel_name, text="answer")
            history = (await b.call("history", channel=channel_name, limit=2))["messages"]
            assert [m["text"] for m in history] == ["say 2", "answer"]
            assert len((await b.call("members", channel=channel_name))["members"]) == 3
            json.dumps([heard, history])
            with pytest.raises(skytale.NotAMemberError):
                await a.call("send", channel="acme/nobody/there", text="x")
            for wrong in ({}, {"channel": 1}, {"channel": "a/b/c", "text": "x", "more": 1}):
                with pytest.raises(ToolInputError):
                    await a.call("send", **wrong)

    run(main())


def channel_and_toolboxes(relay: skytale.LocalRelay, name: str, use) -> None:
    """Gives `use` the toolbox of an agent, and the channel as another agent sees it."""

    async def main() -> None:
        async with skytale.Client("a/agents/alice", relay) as alice, skytale.Client("a/agents/bob", relay) as bob:
            room = await alice.create_channel(name)
            await bob.wait_until_addable()
            await room.add(bob.name)
            other = await bob.join_channel(name)
            await other.send("the answer is 42")
            await use(Toolbox(alice), other)

    run(main())


def test_a_tool_is_called_from_a_program_without_a_loop(skytale_agents, skytale_relay) -> None:
    client = run(skytale.Client("a/agents/alice", skytale_relay).start())
    toolbox = Toolbox(client)
    create, send = toolbox.tools("create", "send")
    create.call_blocking({"channel": "a/b/room"})
    assert json.loads(send.call_blocking({"channel": "a/b/room", "text": "x"}))["sequence"] == 2
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(send.call_blocking({"channel": "a/b/room", "text": "y"})))
    thread.start()
    thread.join()

    async def inside() -> str:
        return send.call_blocking({"channel": "a/b/room", "text": "z"})

    assert json.loads(results[0])["sequence"] == 3 and json.loads(run(inside()))["sequence"] == 4
    with pytest.raises(ToolInputError):
        run(inside_wrong(send))
    run(client.close())


async def inside_wrong(tool) -> str:
    return tool.call_blocking({"nothing": "x"})


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("skytale_receive", {"channel": "a/b/room"}),
    ("skytale_send", {"channel": "a/b/room", "text": "I have read it"}),
    ("skytale_send", {"channel": "a/b/unknown", "text": "to nobody"}),
]


async def check(results: list[str], other: skytale.Channel) -> None:
    """Checks what the model was told, and what the other agent heard."""
    assert "the answer is 42" in results[0] and "a/agents/bob" in results[0]
    assert json.loads(results[1])["channel"] == "a/b/room"
    assert "not_a_member" in results[2]
    assert (await other.receive()).text == "I have read it"


def test_langgraph(skytale_relay: skytale.LocalRelay) -> None:
    pytest.importorskip("langgraph")
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage, ToolMessage
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition
    from skytale.integrations import langchain

    says = [
        AIMessage("", tool_calls=[{"name": name, "args": args, "id": str(n)}]) for n, (name, args) in enumerate(CALLS)
    ]

    async def use(toolbox: Toolbox, other: skytale.Channel) -> None:
        model = GenericFakeChatModel(messages=iter([*says, AIMessage("done")]))

        async def think(state: MessagesState) -> dict:
            return {"messages": [await model.ainvoke(state["messages"])]}

        tools = langchain.tools(toolbox)
        assert [tool.name for tool in tools] == [f"skytale_{name}" for name in NAMES]
        graph = StateGraph(MessagesState)
        graph.add_node("think", think)
        graph.add_node("tools", ToolNode(tools))
        graph.add_edge(START, "think")
        graph.add_conditional_edges("think", tools_condition)
        graph.add_edge("tools", "think")
        result = await graph.compile().ainvoke({"messages": [("user", "read, and answer")]})
        assert result["messages"][-1].content == "done"
        await check([m.content for m in result["messages"] if isinstance(m, ToolMessage)], other)
        (members,) = langchain.tools(toolbox, "members")
        assert "a/agents/bob" in await asyncio.to_thread(members.invoke, {"channel": "a/b/room"})

    channel_and_toolboxes(skytale_relay, "a/b/room", use)


def test_openai_agents(skytale_relay: skytale.LocalRelay) -> None:
    pytest.importorskip("agents")
    import agents
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
    from skytale.integrations import openai_agents

    told: list[str] = []
    says = [
        ResponseFunctionToolCall(name=name, arguments=json.dumps(args), call_id=str(n), type="function_call")
        for n, (name, args) in enumerate(CALLS)
    ]

    class Scripted(agents.Model):
        async def get_response(self, system_instructions, input, model_settings, tools, *_: Any, **__: Any):  # noqa: A002
            told[:] = [item["output"] for item in input if item.get("type") == "function_call_output"]
            assert len(tools) == len(NAMES)
            text = ResponseOutputText(annotations=[], text="done", type="output_text")
            end = ResponseOutputMessage(id="1", content=[text], role="assistant", status="completed", type="message")
            output = says[len(told)] if len(told) < len(says) else end
            return agents.ModelResponse(output=[output], usage=agents.Usage(), response_id=None)

        def stream_response(self, *_: Any, **__: Any):
            raise NotImplementedError

    async def use(toolbox: Toolbox, other: skytale.Channel) -> None:
        agents.set_tracing_disabled(True)
        agent = agents.Agent(name="Alice", model=Scripted(), tools=openai_agents.tools(toolbox))
        result = await agents.Runner.run(agent, "read, and answer")
        assert result.final_output == "done"
        await check(told, other)

    channel_and_toolboxes(skytale_relay, "a/b/room", use)


def test_pydantic_ai(skytale_relay: skytale.LocalRelay) -> None:
    pytest.importorskip("pydantic_ai")
    import pydantic_ai
    from pydantic_ai.messages import ModelResponse, RetryPromptPart, TextPart, ToolCallPart, ToolReturnPart
    from pydantic_ai.models.function import FunctionModel
    from skytale.integrations import pydantic_ai as integration

    told: list[str] = []

    def model(messages, info) -> ModelResponse:
        parts = [part for message in messages for part in message.parts]
        told[:] = [
            json.dumps(part.content) if isinstance(part, ToolReturnPart) else str(part.content)
            for part in parts
            if isinstance(part, (ToolReturnPart, RetryPromptPart))
        ]
        assert len(info.function_tools) == len(NAMES)
        if len(told) < len(CALLS):
            return ModelResponse(parts=[ToolCallPart(*CALLS[len(told)])])
        return ModelResponse(parts=[TextPart("done")])

    async def use(toolbox: Toolbox, other: skytale.Channel) -> None:
        agent = pydantic_ai.Agent(FunctionModel(model), tools=integration.tools(toolbox))
        result = await agent.run("read, and answer")
        assert result.output == "done"
        await check(told, other)

    channel_and_toolboxes(skytale_relay, "a/b/room", use)


def test_smolagents(skytale_relay: skytale.LocalRelay) -> None:
    pytest.importorskip("smolagents")
    import smolagents
    from skytale.integrations import smolagents as integration
    from smolagents.models import ChatMessage, ChatMessageToolCall, ChatMessageToolCallFunction, MessageRole

    class Scripted(smolagents.Model):
        def __init__(self, *says: Any) -> None:
            super().__init__()
            self.says = iter(says)

        def generate(self, messages, **_: Any) -> ChatMessage:
            said = next(self.says)
            if isinstance(said, str):
                return ChatMessage(MessageRole.ASSISTANT, said)
            function = ChatMessageToolCallFunction(name=said[0], arguments=said[1])
            return ChatMessage(MessageRole.ASSISTANT, "", [ChatMessageToolCall(function, "1", "function")])

    async def use(toolbox: Toolbox, other: skytale.Channel) -> None:
        tools = integration.tools(toolbox)
        assert [tool.name for tool in tools] == [f"skytale_{name}" for name in NAMES]
        model = Scripted(*CALLS, ("final_answer", {"answer": "done"}))
        agent = smolagents.ToolCallingAgent(tools, model, verbosity_level=0)
        assert await asyncio.to_thread(agent.run, "read, and answer") == "done"
        steps = [step for step in agent.memory.steps if isinstance(step, smolagents.ActionStep)]
        await check([str(step.error or step.observations) for step in steps], other)
        code = """
<code>
heard = skytale_receive("a/b/room", None)
try:
    skytale_members("a/b/room", channel="a/b/room")
except ValueError as error:
    final_answer(skytale_members("a/b/room") + heard + str(error))
</code>
"""
        writer = smolagents.CodeAgent(tools, Scripted(code), verbosity_level=0)
        answer = await asyncio.to_thread(writer.run, "who is there")
        assert "a/agents/bob" in answer and '"messages": []' in answer and "each once" in answer

    channel_and_toolboxes(skytale_relay, "a/b/room", use)


def test_agno(skytale_relay: skytale.LocalRelay) -> None:
    pytest.importorskip("agno")
    from agno.agent import Agent
    from agno.models.base import Model
    from agno.models.response import ModelResponse
    from skytale.integrations import agno

    told: list[str] = []
    shown: dict[str, Any] = {}

    class Scripted(Model):
        calls = CALLS

        def invoke(self, messages, tools, **_: Any) -> ModelResponse:
            told[:] = [message.content for message in messages if message.role == "tool"]
            shown.update({tool["function"]["name"]: tool["function"]["parameters"] for tool in tools})
            if len(told) == len(self.calls):
                return ModelResponse(role="assistant", content="done")
            name, arguments = self.calls[len(told)]
            call = {"id": str(len(told)), "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            return ModelResponse(role="assistant", tool_calls=[call])

        async def ainvoke(self, **given: Any) -> ModelResponse:
            return self.invoke(**given)

        invoke_stream = ainvoke_stream = _parse_provider_response = _parse_provider_response_delta = None

    async def use(toolbox: Toolbox, other: skytale.Channel) -> None:
        agent = Agent(model=Scripted("none"), tools=[agno.toolkit(toolbox)], telemetry=False)
        assert (await agent.arun("read, and answer")).content == "done"
        assert shown == {f"skytale_{tool.name}": tool.parameters for tool in toolbox.tools()}
        await check(told, other)
        # Agno fills in arguments of this name where a function declares them.
        Scripted.calls = [("skytale_add", {"channel": "a/b/room", "agent": "a/agents/bob"})]
        assert (await asyncio.to_thread(agent.run, "add him")).content == "done"
        assert json.loads(told[0])["members"] == ["a/agents/alice", "a/agents/bob"]

    channel_and_toolboxes(skytale_relay, "a/b/room", use)


def test_google_adk(skytale_relay: skytale.LocalRelay) -> None:
    pytest.importorskip("google.adk")
    from google.adk import Agent
    from google.adk.models import BaseLlm, LlmResponse
    from google.adk.runners import InMemoryRunner
    from google.genai import types
    from skytale.integrations import google_adk

    told: list[str] = []
    shown: dict[str, Any] = {}

    class Scripted(BaseLlm):
        async def generate_content_async(self, llm_request, stream: bool = False):
            parts = [part for content in llm_request.contents for part in content.parts]
            told[:] = [json.dumps(part.function_response.response) for part in parts if part.function_response]
            (tools,) = llm_request.config.tools
            shown.update({tool.name: tool.parameters_json_schema for tool in tools.function_declarations})
            if len(told) < len(CALLS):
                name, arguments = CALLS[len(told)]
                part = types.Part.from_function_call(name=name, args=arguments)
            else:
                part = types.Part.from_text(text="done")
            yield LlmResponse(content=types.Content(role="model", parts=[part]))

    async def use(toolbox: Toolbox, other: skytale.Channel) -> None:
        agent = Agent(model=Scripted(model="none"), name="alice", tools=google_adk.tools(toolbox))
        async with InMemoryRunner(agent) as runner:
            events = await runner.run_debug("read, and answer", quiet=True)
        assert events[-1].content.parts[0].text == "done"
        assert shown == {f"skytale_{tool.name}": tool.parameters for tool in toolbox.tools()}
        await check(told, other)

    channel_and_toolboxes(skytale_relay, "a/b/room", use)
