"""The one package that imports pydantic-ai and genai-prices."""

from pgknowbase.errors import MissingExtraError

try:
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.models.test import TestModel
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"Agents need the package {error.name!r}: run `pip install 'django-pgknowbase[agents]'`."
    ) from error

from pgknowbase.agents.adapter.context import RunContext, adapted
from pgknowbase.agents.adapter.engine import Engine
from pgknowbase.agents.adapter.models import model_label
from pgknowbase.agents.adapter.tools import ToolPermission, toolset

__all__ = ["Engine", "FunctionModel", "RunContext", "TestModel", "ToolPermission", "adapted", "model_label", "toolset"]
