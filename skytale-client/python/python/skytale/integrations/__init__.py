"""The tools of `skytale.tools` for agent frameworks; each module needs its framework, as an extra of this package.

| module | framework | install |
|---|---|---|
| `skytale.integrations.langchain` | LangChain, LangGraph | `pip install skytale[langchain]` |
| `skytale.integrations.openai_agents` | OpenAI Agents SDK | `pip install skytale[openai-agents]` |
| `skytale.integrations.pydantic_ai` | Pydantic AI | `pip install skytale[pydantic-ai]` |
| `skytale.integrations.crewai` | CrewAI | `pip install skytale[crewai]` |
| `skytale.integrations.smolagents` | smolagents | `pip install skytale[smolagents]` |
| `skytale.integrations.agno` | Agno | `pip install skytale[agno]` |
| `skytale.integrations.google_adk` | Google ADK | `pip install skytale[google-adk]` (Python 3.11 and later) |

Each has one function, `tools(toolbox)`; Agno's is `toolkit(toolbox)`. A model is told what went wrong, and may try
again.
"""
