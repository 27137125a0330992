"""Every router of the settings: ``path("api/", include("pgknowbase.api.urls"))``, or below another path."""

from importlib.util import find_spec

from pgknowbase.errors import MissingExtraError

if find_spec("ninja") is None:
    raise MissingExtraError("The routes of the API need django-ninja: run `pip install 'django-pgknowbase[api]'`.")

from pgknowbase.api.application import build_api
from pgknowbase.api.links import NAMESPACE

app_name = NAMESPACE
api = build_api()
urlpatterns = api.patterns()
