"""Modules written in C, by import and ``inspect``: there is no source to parse."""

import importlib
import inspect
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from demo.library.extract.records import Definition
from demo.library.extract.syntax import ParsedModule

logger = logging.getLogger(__name__)

# What ``site`` adds to the builtins of an interactive session.
INTERACTIVE = frozenset({"copyright", "credits", "exit", "help", "license", "quit"})
# ``inspect.signature`` evaluates the defaults that C code writes down; some do not exist at run time.
_UNREADABLE = (ValueError, TypeError, NameError, AttributeError, SyntaxError)


def inspect_module(name: str) -> ParsedModule:
    """The public definitions of a C module; none if this machine does not have it."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        logger.info("The module %r cannot be imported on this machine and is left out.", name)
        return ParsedModule(name, False, "", None, {}, [])
    found: dict[str, Sequence[Definition]] = {}
    for key, value in sorted(vars(module).items()):
        if key.startswith("_") or key in INTERACTIVE:
            continue
        if inspect.isclass(value):
            found[key] = list(_class_definitions(key, value))
        elif inspect.isroutine(value):
            found[key] = [Definition("function", key, *_texts(value, key))]
    return ParsedModule(name, False, inspect.getdoc(module) or "", None, found, [])


def _class_definitions(name: str, cls: type) -> Iterator[Definition]:
    yield Definition("class", name, *_texts(cls, name))
    for key, value in sorted(vars(cls).items()):
        if key.startswith("_"):
            continue
        if inspect.isroutine(value) or isinstance(value, classmethod | staticmethod):
            yield Definition("method", f"{name}.{key}", *_texts(getattr(cls, key), key))
        elif inspect.isgetsetdescriptor(value) or inspect.ismemberdescriptor(value):
            yield Definition("method", f"{name}.{key}", "", inspect.getdoc(value) or "")


def _texts(value: Any, name: str) -> tuple[str, str]:
    """Signature and docstring; old C code keeps its signature in the docstring's first line."""
    docstring = (value.__doc__ and inspect.cleandoc(value.__doc__)) or ""
    try:
        return _without_self(str(inspect.signature(value))), docstring
    except _UNREADABLE:
        docstring = docstring.replace("-->", "->")
        head = re.match(rf"(?:\w+\.)*{re.escape(name)}(\(.*?\)(?: *-> *[\w.\[\]]+)?)", docstring)
        return (head[1], docstring) if head else ("", docstring)


def _without_self(signature: str) -> str:
    return re.sub(r"^\((?:self|cls|type)(?:, /)?(?:, (?!\*\)))?", "(", signature).replace("(/, ", "(")
