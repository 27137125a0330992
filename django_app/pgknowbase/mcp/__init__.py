"""The MCP server: search, fetch and similar for language models, as a user. Needs the extra ``mcp``."""

# Without tokens everybody who reaches the address would search as one user.
TOKENS_APP = "pgknowbase.api"
TOKENS_MISSING = f"MCP over HTTP needs tokens: add {TOKENS_APP!r} to INSTALLED_APPS and run 'manage.py migrate'."
BROKEN = "Something went wrong: try again, or tell an administrator."
