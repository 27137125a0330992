"""``python -m docs.command_tables``: write the tables of options in docs/commands.md from the commands' parsers."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import get_commands, load_command_class

PAGE = Path(__file__).with_name("commands.md")
# A heading is a command's name, or the last word of one and an action: `tune recall`.
TABLE = re.compile(r"(^#+ `([\w ]+)`\n(?:(?!^#).*\n)*?)(\| option \| meaning \|\n(?:\|.*\n)+)", re.MULTILINE)
# In help texts: options, settings, and what stands between single quotes.
CODE = re.compile(r"(?<![\w'`])(--[a-z][\w-]*|[A-Z]{4,}[A-Z_]*(?:\[\"\w+\"\])?)(?![\w'`])|'([^']+)'")
OURS = ("pgknowbase", "pgknowbase.agents", "pgknowbase.api")


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of a command of ours, such as ``"pgknowbase_tune"``."""
    return load_command_class(get_commands()[name], name).create_parser("manage.py", name)


def actions_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a command's actions; none where it has no actions."""
    return next((dict(a.choices) for a in parser._actions if isinstance(a, argparse._SubParsersAction)), {})


def table(heading: str) -> str:
    """The table below a heading."""
    rows = ["| option | meaning |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in _rows(heading))]
    return "".join(f"{row}\n" for row in rows)


def page() -> str:
    """The page with its tables written anew."""
    return TABLE.sub(lambda found: found[1] + table(found[2]), PAGE.read_text(encoding="utf-8"))


def meaning(option: argparse.Action) -> str:
    """The help text of an option, as Markdown."""
    text = (option.help or "") % {"default": option.default}
    if option.choices and not text:
        *others, last = (f"`{choice}`" for choice in option.choices)
        text = f"{', '.join(others)} or {last}"
    return CODE.sub(lambda found: f"`{found[1] or found[2]}`", text)


def _rows(heading: str) -> Iterator[tuple[str, str]]:
    command, _, action = heading.rpartition(" ") if " " in heading else (heading, "", "")
    if action:
        parsers = {action: actions_of(parser_of(f"pgknowbase_{command}"))[action]}
    else:
        parsers = actions_of(parser_of(command)) or {"": parser_of(command)}
    found: dict[tuple[str, str], list[str]] = {}
    for name, parser in parsers.items():
        for option in parser._actions:
            if option.help is not argparse.SUPPRESS and _is_ours(option):
                for spelling in option.option_strings:
                    found.setdefault((spelling, meaning(option)), []).append(name)
    for spelling in dict.fromkeys(spelling for spelling, _ in found):
        meanings = [(text, names) for (each, text), names in found.items() if each == spelling]
        of_all = len(meanings) == 1 and len(meanings[0][1]) == len(parsers)
        yield spelling, "; ".join(text if of_all else f"{_named(names)}: {text}" for text, names in meanings)


def _named(actions: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in actions)


def _is_ours(option: Any) -> bool:
    return option.dest not in DJANGO


DJANGO = {option.dest for option in argparse.ArgumentParser()._actions} | {
    "version",
    "verbosity",
    "settings",
    "pythonpath",
    "traceback",
    "no_color",
    "force_color",
    "skip_checks",
}


if __name__ == "__main__":
    import django
    from django.conf import settings

    settings.configure(INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", *OURS])
    django.setup()
    PAGE.write_text(page(), encoding="utf-8")
