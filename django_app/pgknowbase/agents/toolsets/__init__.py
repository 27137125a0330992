"""Tool sets that enforce permissions. What they refuse, they tell the model, with what it can do instead."""

from collections.abc import Callable, Mapping
from typing import Any

from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.tools import Toolset
from pgknowbase.agents.toolsets.cache import cache_tools
from pgknowbase.agents.toolsets.django_info import django_info_tools
from pgknowbase.agents.toolsets.files import file_tools
from pgknowbase.agents.toolsets.knowledge import knowledge_tools
from pgknowbase.agents.toolsets.orm import orm_tools
from pgknowbase.core.importing import importing
from pgknowbase.errors import AgentError

TOOLSETS: Mapping[str, Callable[[], Toolset]] = {
    "cache": cache_tools,
    "django_info": django_info_tools,
    "files": file_tools,
    "knowledge": knowledge_tools,
    "orm": orm_tools,
}

__all__ = [
    "TOOLSETS",
    "cache_tools",
    "django_info_tools",
    "file_tools",
    "for_user",
    "get_toolset",
    "knowledge_tools",
    "orm_tools",
]


def for_user(user: Any, tools: Any) -> Any:
    """A tool set that acts for ``user``, for agents of pydantic-ai that are not a ``DjangoAgent``.

    Tools that write ask for approval, as pydantic-ai has it: the agent's output type then has ``DeferredToolRequests``.

    Args:
        user: looked up at each call, so one who is deactivated loses access; None or an anonymous user for a visitor.
        tools: one of the tool sets of this module.

    >>> agent = Agent("openai:gpt-5", toolsets=[for_user(request.user, knowledge_tools())])
    """
    with importing:
        from pgknowbase.agents.engine import ToolsetForUser, as_toolset  # imports pydantic-ai
    key = DjangoDeps.from_user(user).user_id
    return ToolsetForUser(as_toolset(tools), lambda: DjangoDeps(user_id=key))


def get_toolset(name: str) -> Toolset:
    """A new tool set of that name, as definitions in the database have it: ``"knowledge"``, ``"orm"`` and so on.

    Raises:
        AgentError: there is none.
    """
    if not isinstance(name, str) or name not in TOOLSETS:
        known = ", ".join(map(repr, TOOLSETS))
        raise AgentError(f"Tool set {name!r:.100} is unknown: use {known}.")
    return TOOLSETS[name]()
