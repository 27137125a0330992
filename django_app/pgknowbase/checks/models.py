"""Checks of the source models' declarations."""

from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register

from pgknowbase.capture.paths import PathNotSupportedError
from pgknowbase.errors import ConfigurationError
from pgknowbase.registry import candidates, source_of


@register("pgknowbase", "models")
def check_source_models(**kwargs: Any) -> list[CheckMessage]:
    """E010 a wrong declaration, E011 a watched path that cannot be captured yet, W012 refresh_after."""
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
            if source.config.refresh_after is not None:
                messages.append(
                    Warning(
                        f"refresh_after of {source.label!r} is not yet acted on.",
                        obj=model,
                        hint="Run 'manage.py sync_external_models' from a timer instead.",
                        id="pgknowbase.W012",
                    )
                )
    return messages
