"""Tool calling: a stateful office, the Berkeley Function-Calling Leaderboard, and any MCP server."""
