"""``python -m pgknowbase init``: as ``manage.py pgknowbase_init``, for a project that does not have the app yet."""

import ast
import os
import sys
from pathlib import Path
from typing import Any

USAGE = "usage: python -m pgknowbase init [options], in the folder of manage.py; --help lists the options"
SETTINGS = "DJANGO_SETTINGS_MODULE"


def settings_of(manage: Path) -> str | None:
    """The settings module that a ``manage.py`` names, or None."""
    try:
        tree = ast.parse(manage.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=[ast.Constant(value=name), ast.Constant(value=str(module))]) if name == SETTINGS:
                return module
    return None


def main(arguments: list[str]) -> None:
    """Run the command.

    Args:
        arguments: those behind ``python -m pgknowbase``.
    """
    if arguments[:1] != ["init"]:
        print(USAGE, file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    sys.path.insert(0, str(Path.cwd()))
    if SETTINGS not in os.environ and (module := settings_of(Path("manage.py"))):
        os.environ[SETTINGS] = module
    # These import Django, which is slow, and not before it is known that it is asked for.
    from django.core.management.base import CommandError, handle_default_options

    from pgknowbase.management.commands.pgknowbase_init import Command

    command: Any = Command()
    command._called_from_command_line = True  # wrong options are answered by the usage, not by a traceback
    parsed = command.create_parser("python -m pgknowbase", "init").parse_args(arguments[1:])
    handle_default_options(parsed)
    try:
        # Not run_from_argv, which asks for the settings again when they cannot be imported.
        command.execute(**vars(parsed))
    except CommandError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(error.returncode) from None


if __name__ == "__main__":
    main(sys.argv[1:])
