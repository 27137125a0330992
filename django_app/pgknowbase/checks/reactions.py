"""Checks of the reactions."""

from collections import Counter
from typing import Any

from django.core.checks import CheckMessage, Error, register

from pgknowbase.errors import ConfigurationError
from pgknowbase.reactions.registry import declared

HINT = "See docs/reactions.md."


@register("pgknowbase", "models")
def check_reactions(**kwargs: Any) -> list[CheckMessage]:
    """E030 a wrong field, E031 a condition that cannot be asked, E032 a name that two reactions share."""
    messages: list[CheckMessage] = []
    for reaction in declared():
        try:
            reaction.columns  # noqa: B018 - resolves every field
        except ConfigurationError as error:
            messages.append(Error(str(error), obj=reaction.model, hint=HINT, id="pgknowbase.E030"))
        try:
            reaction.check_condition()
        except Exception as error:  # noqa: BLE001 - whatever a lookup or a value raises
            text = f"The condition of the reaction {reaction.name!r} is wrong: {error}"
            messages.append(Error(text, obj=reaction.model, hint=HINT, id="pgknowbase.E031"))
    for name, count in Counter(reaction.name for reaction in declared()).items():
        if count > 1:
            text = f"{count} reactions are called {name!r}: only the first one runs."
            messages.append(Error(text, hint="Give the others a name=.", id="pgknowbase.E032"))
    return messages
