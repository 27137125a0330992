"""Tools that enforce who may do what. What they refuse, the model is told, with what it can do instead."""

from collections.abc import Callable, Mapping
from typing import Any

from pgknowbase.agents.toolsets.cache import cache_tools
from pgknowbase.agents.toolsets.django_info import django_info_tools
from pgknowbase.agents.toolsets.files import file_tools
from pgknowbase.agents.toolsets.knowledge import knowledge_tools
from pgknowbase.agents.toolsets.orm import orm_tools
from pgknowbase.errors import AgentError

TOOLSETS: Mapping[str, Callable[[], Any]] = {
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
    "knowledge_tools",
    "named",
    "orm_tools",
]


def named(name: str) -> Any:
    """The tool set of that name.

    Raises:
        AgentError: there is none.
    """
    if not isinstance(name, str) or name not in TOOLSETS:
        known = ", ".join(map(repr, TOOLSETS))
        raise AgentError(f"Tool set {name!r:.100} is unknown: use {known}.")
    return TOOLSETS[name]()
