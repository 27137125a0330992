"""Every router of the settings: ``path("api/", include("pgknowbase.api.urls"))``, or below another path."""

from pgknowbase.errors import MissingExtraError

try:
    import ninja  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "The routes of the API need django-ninja: run `pip install 'django-pgknowbase[api]'`."
    ) from error

from pgknowbase.api.application import build_api
from pgknowbase.api.links import NAMESPACE

app_name = NAMESPACE
api = build_api()
urlpatterns = api.patterns()
