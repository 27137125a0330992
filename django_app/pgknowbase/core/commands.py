"""What pgknowbase's management commands share: error messages, argument types, tables, JSON and progress bars."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections
from django.db.utils import Error as AnyDatabaseError
from tqdm import tqdm

from pgknowbase.conf import get_settings
from pgknowbase.core.database_errors import explain
from pgknowbase.errors import PgKnowbaseError


class KnowbaseCommand(BaseCommand):
    """A command whose users see one clear message for what they can correct; ``--traceback`` shows the rest.

    Results go to stdout, so that they can be piped; progress and warnings go to stderr.
    """

    # Django's own import the project's URLs with all views, a fifth of a worker's start, and no command needs them.
    requires_system_checks: list[str] | tuple[str, ...] = ("pgknowbase",)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """As Django's, with pgknowbase's own errors and those of an unusable database as ``CommandError``."""
        try:
            return super().execute(*args, **options)
        except PgKnowbaseError as error:
            raise CommandError(str(error)) from error
        except AnyDatabaseError as error:
            explained = explain(error, options.get("database") or get_settings().database)
            if explained is None:
                raise
            raise CommandError(" ".join(explained)) from error


class ActionCommand(KnowbaseCommand):
    """A command with actions, such as ``pgknowbase_space list``, each with a handler and arguments of its own.

    Subclasses set ``actions`` in ``add_arguments`` and call ``add_action`` for each.
    """

    actions: "argparse._SubParsersAction[CommandParser]"

    def add_action(self, name: str, handler: Callable[..., None], help: str) -> CommandParser:
        """Add an action; returns its parser.

        Args:
            handler: called with all options by name.
        """
        parser = self.actions.add_parser(name, help=help, description=help)
        parser.set_defaults(handler=handler)
        # Django accepts its own options before the action only. These accept them after it too; they have no default,
        # which would overrule a value given before it.
        hidden: Any = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
        parser.add_argument("-v", "--verbosity", type=int, choices=range(4), **hidden)
        for option in ("--settings", "--pythonpath"):
            parser.add_argument(option, **hidden)
        for option in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
            parser.add_argument(option, action="store_true", **hidden)
        return parser

    def handle(self, *, handler: Callable[..., None], **options: Any) -> None:
        """Call the handler of the action."""
        handler(**options)


# Arguments


def add_format(parser: CommandParser) -> None:
    """Add ``--format``: ``table`` for people, or ``json``."""
    parser.add_argument("--format", choices=("table", "json"), default="table", help="'table' or 'json'")


def add_database(parser: CommandParser) -> None:
    """Add ``--database``, the alias of the database with the index. Without it, see ``database_alias``."""
    parser.add_argument("--database", metavar="ALIAS", help="alias of the database, instead of DATABASE")


def database_alias(alias: str | None) -> str:
    """The alias that ``--database`` gave, else that of the settings.

    Raises:
        CommandError: ``DATABASES`` has no such key.
    """
    using = alias or get_settings().database
    if using not in connections:
        raise CommandError(f"{using!r} is not a key of DATABASES: use one of {', '.join(connections)}.")
    return using


def positive(text: str) -> int:
    """Argument type: a whole number from 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return number


def between(least: int, most: int) -> Callable[[str], int]:
    """Argument type: a whole number from ``least`` to ``most``."""

    def whole(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return whole


def fraction(text: str) -> float:
    """Argument type: a number above 0 and up to 1."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to 1")
    return number


# Output


def as_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A plain-text table. Columns that hold only numbers are aligned to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(headings), *cells]) for i in range(len(headings))]
    right = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(headings))]
    lines = [list(headings), ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    shown = f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)
    return shown.replace("\n", "\\n")


def as_json(value: Any) -> str:
    """``value`` as indented JSON."""
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)


# The figures stand first: tqdm cuts off at the right what a narrow terminal has no place for.
BAR_FORMAT = "{percentage:3.0f}% {n_fmt}/{total_fmt}{unit} {desc}|{bar}| [{elapsed}<{remaining}, {rate_fmt}]"


def progress_bar(
    work: int | Sequence[Any] | None = None, *, unit: str, hidden: bool, description: str = ""
) -> "tqdm[Any]":
    """A bar on stderr, on a terminal of any width. There is none without a terminal, or if ``hidden``.

    Args:
        work: how many units there are to do, or the units, which the bar then yields; None shows only what is done.
        unit: what is counted, in the plural.
    """
    units, total = (None, work) if work is None or isinstance(work, int) else (work, len(work))
    return tqdm(
        units,
        total=total,
        desc=description,
        unit=f" {unit}",
        bar_format=None if total is None else BAR_FORMAT,
        disable=True if hidden else None,
        file=sys.stderr,
    )


class ProgressBar:
    """A bar for work whose total may change; see ``progress_bar``."""

    def __init__(self, *, unit: str, hidden: bool) -> None:
        self._bar = progress_bar(0, unit=unit, hidden=hidden)

    def show(self, done: int, total: int, description: str = "") -> None:
        """Show that ``done`` of ``total`` units are done."""
        self._bar.total = total
        self._bar.n = min(done, total)
        if description:
            self._bar.set_description(description, refresh=False)
        self._bar.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
