"""Synonyms that a project declares, for all models or for one, and those that may apply to a search text."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field

from pgknowbase.core.text import is_storable

MAX_GROUPS = 1000
MAX_PHRASES = 20
MAX_CHARACTERS = 100
# Rules that one search passes to the database; more of its words have no synonyms.
MAX_APPLIED = 50
_WORD = re.compile(r"[^\W_]+")


def _checked(phrase: str) -> str:
    if not _WORD.search(phrase) or not is_storable(phrase):
        raise ValueError(f"{phrase!r} has no word: write words and phrases")
    return phrase


Phrase: TypeAlias = Annotated[str, Field(max_length=MAX_CHARACTERS), AfterValidator(_checked)]
# Phrases that mean the same, or a phrase and what else is looked for where a query has it.
SynonymGroup: TypeAlias = (
    Annotated[tuple[Phrase, ...], Field(min_length=2, max_length=MAX_PHRASES)]
    | Annotated[
        dict[Phrase, Annotated[tuple[Phrase, ...], Field(min_length=1, max_length=MAX_PHRASES)]],
        Field(min_length=1, max_length=MAX_PHRASES),
    ]
)
Synonyms: TypeAlias = Annotated[tuple[SynonymGroup, ...], Field(max_length=MAX_GROUPS)]


@dataclass(frozen=True, slots=True)
class SynonymRule:
    """Where a query has ``phrase``, ``alternatives`` are looked for too."""

    phrase: str
    alternatives: tuple[str, ...]


def rules_of(groups: Sequence[Any]) -> tuple[SynonymRule, ...]:
    """The rules of validated synonyms.

    >>> rules_of([("pg", "postgres"), {"db": ("database",)}])
    (SynonymRule('pg', ('postgres',)), SynonymRule('postgres', ('pg',)), SynonymRule('db', ('database',)))
    """
    rules = []
    for group in groups:
        if isinstance(group, dict):
            rules += [SynonymRule(phrase, tuple(others)) for phrase, others in group.items()]
        else:
            rules += [SynonymRule(phrase, tuple(each for each in group if each != phrase)) for phrase in group]
    return tuple(rules)


def applicable(rules: Sequence[SynonymRule], text: str) -> list[list[str]]:
    """Of ``rules`` those whose phrase may stand in ``text``, as ``pgknowbase_synonyms_in`` takes them.

    Postgres knows the forms of words, and decides. A form has the same first letters, so most rules need not be sent.
    """
    folded = _folded(text)
    begins = {word[:3] for word in _WORD.findall(folded)}
    found = []
    for rule in rules:
        phrase = _folded(rule.phrase)
        if {word[:3] for word in _WORD.findall(phrase)} <= begins or phrase in folded:
            found.append([rule.phrase, *rule.alternatives])
    return found[:MAX_APPLIED]


@lru_cache(maxsize=4096)
def _folded(text: str) -> str:
    """Without case and marks, which stemmers take away."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter))
