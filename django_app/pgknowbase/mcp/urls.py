"""The MCP server inside a project: ``path("mcp/", include("pgknowbase.mcp.urls"))``, or below another path."""

from importlib.util import find_spec

from django.apps import apps
from django.urls import path

from pgknowbase.errors import ConfigurationError, MissingExtraError
from pgknowbase.mcp import TOKENS_APP, TOKENS_MISSING

if find_spec("mcp") is None:
    raise MissingExtraError("The MCP server needs the package 'mcp': run `pip install 'django-pgknowbase[mcp]'`.")
if not apps.is_installed(TOKENS_APP):
    raise ConfigurationError(TOKENS_MISSING)

from pgknowbase.mcp.views import endpoint

app_name = "pgknowbase_mcp"
urlpatterns = [path("", endpoint, name="endpoint")]
