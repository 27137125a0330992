"""What a token may be allowed to do. An app with routes of its own adds to ``SCOPES`` when it is ready."""

SCOPES = {
    "search": "Search, and ask for what is similar",
    "status": "See how far the index is",
    "sync": "Bring rows into the index",
    "agents": "Run agents and workflows, and see, cancel and retry runs",
    "approvals": "Decide on tool calls that wait for a person",
    "act_for_others": "Act as another user, if the token's user may",
}
