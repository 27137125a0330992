"""The demo site for gunicorn: Django, its static files, and ``/healthz`` for the health check."""

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application
from django.db import DatabaseError, connection

StartResponse = Callable[..., Any]

site = get_wsgi_application()
if "django.contrib.staticfiles" in settings.INSTALLED_APPS:
    site = StaticFilesHandler(site)


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer ``/healthz`` before Django does, so that it needs no entry in ALLOWED_HOSTS."""
    if environ.get("PATH_INFO") == "/healthz":
        return _health(start_response)
    return site(environ, start_response)


def _health(start_response: StartResponse) -> Iterable[bytes]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        status, body = "200 OK", b"ok\n"
    except DatabaseError as error:
        status, body = "503 Service Unavailable", f"database: {type(error).__name__}\n".encode()
    finally:
        connection.close()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
