"""Text that Postgres can store.

A Python ``str`` may hold two things that the type ``text`` (and ``jsonb``) refuses: NUL, and lone surrogates, halves of
a UTF-16 pair that are not characters and have no form in UTF-8. Text from users, hooks, models and error messages is
checked or cleaned here before it becomes a parameter of a statement, where it would fail the whole transaction.
"""

import re
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_SHOWN = 60


def is_storable(text: str) -> bool:
    """Whether Postgres can store ``text``: it holds no NUL and no lone surrogate."""
    # Runs for each rendered document, where it is twenty times as fast as the regular expression.
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_unstorable(text: str) -> str | None:
    """What Postgres cannot store in ``text``, worded for an error message, or None.

    >>> find_unstorable("a\\x00b")
    'a NUL character at 1'
    """
    found = None if is_storable(text) else _UNSTORABLE.search(text)
    if found is None:
        return None
    return f"{'a NUL character' if found[0] == chr(0) else 'a lone surrogate'} at {found.start()}"


def to_storable(text: str) -> str:
    """``text`` with U+FFFD in the place of each character that Postgres cannot store.

    For text that must be kept whatever it holds, such as the message of an exception.
    """
    return text if is_storable(text) else _UNSTORABLE.sub(REPLACEMENT, text)


def short_repr(value: Any) -> str:
    """The first 60 characters of ``repr(value)``, for error messages about values that came from outside."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
