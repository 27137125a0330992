"""Django ``DATABASES`` entries, from a URL or from an embedded server."""

import atexit
import os
import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgknowbase.embedded.server import EmbeddedPostgres
from pgknowbase.errors import ConfigurationError

ENGINE = "django.db.backends.postgresql"
_SCHEMES = ("postgresql://", "postgres://")
_OWN_KEYS = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}


def database_config(url_or_server: str | EmbeddedPostgres, /, **overrides: Any) -> dict[str, Any]:
    """A Django ``DATABASES`` entry for a ``postgresql://`` URL or a running ``EmbeddedPostgres``.

    The URL is read by libpq itself: percent-encoding, ``?host=/socket``, several hosts, ``sslmode`` and every
    other libpq parameter (those go to ``OPTIONS``). ``overrides`` are entries in capitals, such as
    ``CONN_MAX_AGE=60``; ``OPTIONS`` is merged, everything else replaces.

    Raises:
        ConfigurationError: not a Postgres URL, not readable, or without a database name.
    """
    url = url_or_server.url if isinstance(url_or_server, EmbeddedPostgres) else url_or_server
    parameters = _parse(url)
    config: dict[str, Any] = {"ENGINE": ENGINE}
    config |= {key: str(parameters.pop(name, "")) for name, key in _OWN_KEYS.items()}
    config["OPTIONS"] = parameters | dict(overrides.pop("OPTIONS", {}))
    unknown = [key for key in overrides if not key.isupper()]
    if unknown:
        raise ConfigurationError(f"{unknown[0]!r} is not a key of DATABASES: write keys in capitals, as Django does.")
    config |= overrides
    if not set(config["PORT"]) <= set("0123456789,"):
        raise ConfigurationError(
            f"The port in the database URL {_masked(url)!r} is not a number: percent-encode special characters in "
            f"user and password, such as '/' as '%2F'."
        )
    if not config["NAME"]:
        raise ConfigurationError(
            f"The database URL {_masked(url)!r} names no database: add it after the host, as in '…@host:5432/name'."
        )
    return config


def embedded_database(
    data_dir: str | os.PathLike[str],
    *,
    keep: bool = False,
    variable: str = "DATABASE_URL",
    config: Mapping[str, Any] | None = None,
    **server_options: Any,
) -> dict[str, Any]:
    """The one line for settings.py: the database of ``DATABASE_URL`` if that is set, else an embedded one.

    ``DATABASES = {"default": embedded_database(BASE_DIR / ".pgdata")}`` starts that directory's server or
    joins it. Without ``keep`` the last process that leaves stops it; with ``keep`` it stays until
    ``EmbeddedPostgres(data_dir).stop(force=True)``. Nothing in pgknowbase calls this by itself.

    Args:
        variable: name of the environment variable that goes first; empty counts as unset.
        config: overrides for ``database_config``, such as ``{"CONN_MAX_AGE": 60}``.
        server_options: the other arguments of ``EmbeddedPostgres``.
    """
    url = os.environ.get(variable)
    if url:
        return database_config(url, **(config or {}))
    server = EmbeddedPostgres(data_dir, keep=keep, **server_options).start()
    atexit.register(server.stop)
    return database_config(server, **(config or {}))


def _parse(url: str) -> dict[str, Any]:
    if not url.startswith(_SCHEMES):
        raise ConfigurationError(
            f"The database URL {_masked(url)!r} is not Postgres's: write 'postgresql://user:password@host:5432/name'."
        )
    try:
        return {key: value for key, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError as error:
        reason = str(error).strip()
        for secret in _secrets(url):
            reason = reason.replace(secret, "***")
        raise ConfigurationError(
            f"The database URL {_masked(url)!r} cannot be read ({reason}): "
            f"percent-encode special characters in user and password."
        ) from None


def _secrets(url: str) -> list[str]:
    return [part for match in re.findall(r"://[^:/?#]*:(.*)@|[?&]password=([^&]*)", url) for part in match if part]


def _masked(url: str) -> str:
    for secret in _secrets(url):
        url = url.replace(secret, "***")
    return url
