"""Command lines in messages: they name the database where the command would take another one by itself."""

import shlex

from pgknowbase.conf import get_settings, use_database

# They have no --database.
ANYWHERE = {"makemigrations", "pgknowbase_embeddings"}
# They take Django's default, and those of pgknowbase that of its settings.
OF_OTHERS = {"migrate", "check", "pgtrigger"}


def command_line(command: str, using: str) -> str:
    """``manage.py command``, so that it is done on the database ``using``.

    Args:
        command: name and arguments, perhaps with a comment behind two spaces and '#'. It may name a database itself.
        using: the alias of the database.

    >>> command_line("migrate press", "replica")
    'manage.py migrate press --database replica'
    """
    line, space, comment = command.partition("  #")
    name = line.split()[0]
    default = "default" if name in OF_OTHERS else _configured()
    if using != default and name not in ANYWHERE and " --database " not in line:
        line += f" --database {shlex.quote(using)}"
    return f"manage.py {line}{space}{comment}"


def _configured() -> str:
    """The database of the settings, whichever a request has activated."""
    with use_database(None):
        return get_settings().database
