"""An MCP server with the tools of `skytale.tools`: `python -m skytale.mcp --help` (`pip install skytale[mcp]`)."""
