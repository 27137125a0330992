"""The one package that imports pydantic-ai and genai-prices: everything that depends on their versions stands here."""

from pgknowbase.errors import MissingExtraError

try:
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.models.test import TestModel
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"Agents need the package {error.name!r}: run `pip install 'django-pgknowbase[agents]'`."
    ) from error

from pgknowbase.agents.engine.engine import Engine, make_engine
from pgknowbase.agents.engine.tools import ToolsetForUser, as_toolset

__all__ = [
    "Engine",
    "FunctionModel",
    "TestModel",
    "ToolsetForUser",
    "as_toolset",
    "make_engine",
]
