"""Database URLs and DATABASES entries."""

import pytest

from pgknowbase.embedded import EmbeddedPostgres, database_config
from pgknowbase.errors import ConfigurationError
from tests.integration.embedded.conftest import FAST


def test_every_part():
    url = "postgresql://us%40er:p%2Fw%3A%23%C3%A9@db.example:6543/my%20db?sslmode=require&connect_timeout=5"
    assert database_config(url) == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "my db",
        "USER": "us@er",
        "PASSWORD": "p/w:#é",
        "HOST": "db.example",
        "PORT": "6543",
        "OPTIONS": {"sslmode": "require", "connect_timeout": "5"},
    }


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgres:///db?host=/run/postgresql", "/run/postgresql", ""),
        ("postgresql://%2Frun%2Fpostgresql/db", "/run/postgresql", ""),
        ("postgresql://[::1]:5433/db", "::1", "5433"),
        ("postgresql://a:1,b:2/db?target_session_attrs=read-write", "a,b", "1,2"),
    ],
)
def test_hosts(url, host, port):
    config = database_config(url)
    assert (config["HOST"], config["PORT"], config["NAME"], config["PASSWORD"]) == (host, port, "db", "")


def test_overrides():
    config = database_config("postgresql://h/db?sslmode=require", NAME="other", CONN_MAX_AGE=60, OPTIONS={"pool": True})
    assert config["NAME"] == "other"
    assert config["CONN_MAX_AGE"] == 60
    assert config["OPTIONS"] == {"sslmode": "require", "pool": True}
    with pytest.raises(ConfigurationError, match="'conn_max_age' is not a key of DATABASES"):
        database_config("postgresql://h/db", conn_max_age=60)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:s3cret@h/db", "is not Postgres's"),
        ("", "is not Postgres's"),
        ("postgresql://u:s3cret@h/db?nonsense=1", "invalid URI query parameter"),
        ("postgresql://u:s3cret%zz@h/db", "percent-encode"),
        ("postgresql://u:s3cret/x@h/db", "percent-encode"),
        ("postgresql://u:s3cret@h", "names no database"),
        ("postgresql://h/db?password=s3cret&x=%zz", "percent-encode"),
    ],
)
def test_bad_urls_say_what_to_do_and_hide_the_password(url, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        database_config(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_from_a_server_over_socket_and_tcp(cluster):
    with EmbeddedPostgres(cluster, options=FAST, port=0) as server, EmbeddedPostgres(cluster) as joined:
        over_tcp = database_config(server, CONN_MAX_AGE=None)
        assert over_tcp["HOST"] == "127.0.0.1"
        assert over_tcp["PASSWORD"]
        assert over_tcp["CONN_MAX_AGE"] is None
        over_socket = database_config(joined)
        assert over_socket["HOST"] == str(cluster)
        assert over_socket["PORT"] == over_tcp["PORT"]
        assert over_socket["PASSWORD"] == ""
