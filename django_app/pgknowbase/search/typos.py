"""Typos: what a search text may have meant, by the words of the documents that the viewer may see."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import models

from pgknowbase.core import gateway
from pgknowbase.search.filters import Filters
from pgknowbase.search.queries import translated_errors

# Where a rule of a model says who sees what, the ids of the rows that it lets pass are listed. Of more nobody can tell
# which words they have, so nothing is corrected.
MAX_VISIBLE = 100_000


@dataclass(frozen=True, slots=True)
class Correction:
    """What is searched for in the place of a text, and what is suggested; None where that is the text itself.

    ``corrected``: with words that no document has in the spelling of those that documents have. ``did_you_mean``: with
    words, too, that hardly any document has.
    """

    corrected: str | None = None
    did_you_mean: str | None = None


@dataclass(frozen=True)
class TypoTolerance:
    """Looks for typos before a search.

    Args:
        visible: for a database, the rows of ``ExternalData`` that the viewer may see, where SQL does not know the rule
            of a model; None: the filter says it.
    """

    visible: Callable[[str], "models.QuerySet[Any]"] | None

    def correct(self, using: str, text: str, filters: Filters) -> Correction:
        """What ``text`` may have meant, in one statement. Nothing of documents that the viewer may not see counts."""
        if self.visible is None:
            with translated_errors(using):
                rows = gateway.fetch(using, "correct", text=text, filter=filters.json())
            return Correction(*rows[0]) if rows else Correction()
        known = self.visible(using).order_by().values("pk")[: MAX_VISIBLE + 1]
        try:
            with translated_errors(using):
                found = gateway.fetch_among(
                    using, "correct_among", rows=known, text=text, filter=filters.json(), most_visible=MAX_VISIBLE
                )
        except EmptyResultSet:  # Django knows without a statement that the viewer sees nothing
            return Correction()
        return Correction(*found)
