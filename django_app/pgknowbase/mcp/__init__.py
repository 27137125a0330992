"""The MCP server: search, fetch and similar for language models, as a user. Needs the extra ``mcp``."""
