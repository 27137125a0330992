"""Checks of the source models' declarations."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from pgknowbase.capture.paths import PathNotSupportedError
from pgknowbase.errors import ConfigurationError
from pgknowbase.registry import candidates, source_of


@register("pgknowbase", "models")
def check_source_models(**kwargs: Any) -> list[CheckMessage]:
    """E010 a wrong declaration, E011 a watched path that cannot be captured yet."""
    messages: list[CheckMessage] = []
    for model in candidates():
        try:
            source_of(model)
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
    return messages
