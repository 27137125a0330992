"""Checks of the source models' declarations."""

from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register

from pgknowbase.capture.paths import PathNotSupportedError
from pgknowbase.errors import ConfigurationError
from pgknowbase.registry import candidates, source_of

# Beyond, the trigger's comparison shows in an UPDATE's time, and hardly a document is about that many things.
MANY_FIELDS = 16


@register("pgknowbase", "models")
def check_source_models(**kwargs: Any) -> list[CheckMessage]:
    """E010 a wrong declaration, E011 a watched path that cannot be captured yet, W013 many watched fields."""
    messages: list[CheckMessage] = []
    for model in candidates():
        try:
            source = source_of(model)
        except PathNotSupportedError as error:
            messages.append(
                Error(
                    str(error),
                    obj=model,
                    hint="docs/models.md lists what can be watched.",
                    id="pgknowbase.E011",
                )
            )
        except ConfigurationError as error:
            messages.append(
                Error(str(error), obj=model, hint="Correct the model's ExternalDataMeta.", id="pgknowbase.E010")
            )
        else:
            watched = len(source.config.watch_fields)
            if watched > MANY_FIELDS:
                messages.append(
                    Warning(
                        f"{source.label!r} watches {watched} fields: each UPDATE of the table compares them all,"
                        " and each change of one renders the row again.",
                        obj=model,
                        hint=f"Watch the fields that the hooks read, {MANY_FIELDS} at most.",
                        id="pgknowbase.W013",
                    )
                )
    return messages
