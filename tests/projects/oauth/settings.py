"""The project of the tests with django-oauth-toolkit as its authorization server."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "oauth2_provider"]
# Its tables are made at once: its migrations are not ours to test.
MIGRATION_MODULES = {"oauth2_provider": None}
ROOT_URLCONF = "tests.projects.oauth.urls"
ALLOWED_HOSTS = ["127.0.0.1"]
DEBUG = True
LOGIN_URL = "admin:login"
OAUTH2_PROVIDER = {
    "SCOPES_BACKEND_CLASS": "pgknowbase.api.oauth.Scopes",
    "DCR_ENABLED": True,
    "DCR_REGISTRATION_PERMISSION_CLASSES": ["oauth2_provider.dcr.AllowAllDCRPermission"],
    "OAUTH2_TOKEN_ENDPOINT_AUTH_METHODS_SUPPORTED": ["none", "client_secret_post", "client_secret_basic"],
    "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
}
