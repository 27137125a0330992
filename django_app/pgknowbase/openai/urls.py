"""OpenAI's API over the knowledge of a project: ``path("v1/", include("pgknowbase.openai.urls"))``."""

from importlib.util import find_spec

from django.apps import apps

from pgknowbase.errors import ConfigurationError, MissingExtraError

if find_spec("ninja") is None:
    raise MissingExtraError("OpenAI's API needs django-ninja: run `pip install 'django-pgknowbase[api]'`.")
if not (apps.is_installed("pgknowbase.api") and apps.is_installed("pgknowbase.chat")):
    raise ConfigurationError(
        "OpenAI's API needs tokens and the chat: add 'pgknowbase.agents', 'pgknowbase.api' and 'pgknowbase.chat' to"
        " INSTALLED_APPS and run 'manage.py migrate'."
    )

from pgknowbase.openai.application import NAMESPACE, build_api

app_name = NAMESPACE
api = build_api()
urlpatterns = api.patterns()
