"""Commands in messages are those that do it: on the database that the message is about."""

import pytest

from pgknowbase.conf import use_database
from pgknowbase.core.command_line import command_line
from pgknowbase.embeddings.serving import mismatch_error
from pgknowbase.search.nothing_found import NothingFound


@pytest.mark.parametrize(
    ("command", "using", "line"),
    [
        ("migrate", "default", "manage.py migrate"),
        ("migrate press", "kb", "manage.py migrate press --database kb"),
        ("pgknowbase_space fill new", "kb", "manage.py pgknowbase_space fill new"),
        ("pgknowbase_space fill new", "default", "manage.py pgknowbase_space fill new --database default"),
        ("pgknowbase_worker  # another", "a b", "manage.py pgknowbase_worker --database 'a b'  # another"),
        ("migrate press --database b", "b", "manage.py migrate press --database b"),
        ("makemigrations press", "other", "manage.py makemigrations press"),
    ],
)
def test_database_is_named_where_another_would_be_taken(settings, command, using, line):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "DATABASE": "kb"}
    assert command_line(command, using) == line
    with use_database("other"):
        # A message may be made in a request of a tenant, and its command is typed in no request.
        assert command_line(command, using) == line


def test_messages_name_their_database():
    nothing = str(NothingFound(0, 0, None, None, 0, 0, 0, 0, using="b"))
    assert "run 'manage.py sync_external_models --database b'" in nothing
    mismatch = str(mismatch_error("default", ["backend is 'a', the settings say 'c'"], is_active=True, using="b"))
    for action in ("add NAME", "rebuild", "accept"):
        assert f"'manage.py pgknowbase_space {action} --database b'" in mismatch
