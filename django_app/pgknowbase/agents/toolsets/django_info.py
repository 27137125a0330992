"""Versions, apps and models of the project; no settings that tell how to get in, no addresses, no keys."""

import platform
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings

from pgknowbase.agents.tools import RunContext, Toolset
from pgknowbase.agents.toolsets.access import signed_in
from pgknowbase.errors import ToolRefusedError

# The only settings that are shown: their values do not help anybody to get in.
SHOWN = ("LANGUAGE_CODE", "TIME_ZONE", "USE_TZ", "USE_I18N")


def django_info_tools() -> Toolset:
    """``project_info`` and ``describe_models``; the latter only of models that the user may view."""
    return Toolset("django_info", [project_info, describe_models])


async def project_info(ctx: RunContext[Any]) -> dict[str, Any]:
    """Versions, language, time zone and the labels of the installed apps."""
    await signed_in(ctx)
    return {
        "django": django.get_version(),
        "python": platform.python_version(),
        "apps": [config.label for config in apps.get_app_configs()],
        **{name.lower(): getattr(settings, name) for name in SHOWN},
    }


async def describe_models(ctx: RunContext[Any], app: str) -> dict[str, list[str]]:
    """The models of an app that the user may view, with the names of their fields.

    Args:
        ctx: The context of the run.
        app: A label, as project_info returns it.
    """
    user = await signed_in(ctx)
    if app not in apps.app_configs:
        raise ToolRefusedError(f"App {app!r} does not exist: use a label that project_info returns.")

    def described() -> dict[str, list[str]]:
        return {
            model._meta.label: [field.name for field in model._meta.get_fields() if field.name]
            for model in apps.get_app_config(app).get_models()
            if user.has_perm(f"{app}.view_{model._meta.model_name}")
        }

    return await sync_to_async(described)()
