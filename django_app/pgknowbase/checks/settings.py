"""Checks of ``settings.PGKNOWBASE`` and of what it names. They touch neither database nor network."""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connections

from pgknowbase.conf import get_settings
from pgknowbase.errors import PgKnowbaseError

NEEDED_APPS = ("django.contrib.postgres", "pgtrigger")


@register("pgknowbase")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001 settings, E002 apps, E003 database engine, E004 backend, W005 what a backend lacks, E006 models of tools."""
    messages: list[CheckMessage] = []
    messages += [
        Error(f"{name!r} is not installed.", hint=f"Add {name!r} to INSTALLED_APPS.", id="pgknowbase.E002")
        for name in NEEDED_APPS
        if not apps.is_installed(name)
    ]
    try:
        settings = get_settings()
    except PgKnowbaseError as error:
        return [*messages, Error(str(error), hint="docs/settings.md lists every key.", id="pgknowbase.E001")]
    if settings.database not in connections:
        messages.append(
            Error(
                f"PGKNOWBASE['DATABASE'] names {settings.database!r}, which DATABASES does not have.",
                hint="Name a key of DATABASES.",
                id="pgknowbase.E003",
            )
        )
    elif connections[settings.database].vendor != "postgresql":
        messages.append(
            Error(
                f"Database {settings.database!r} is {connections[settings.database].vendor!r}, not Postgres.",
                hint="Use the engine 'django.db.backends.postgresql', or name another database in PGKNOWBASE.",
                id="pgknowbase.E003",
            )
        )
    messages += _check_backends(list(settings.embeddings))
    messages += _check_orm(settings.agents.orm)
    return messages


def _check_orm(listed: Mapping[str, list[str]]) -> list[CheckMessage]:
    faults = []
    for label, fields in listed.items():
        try:
            options = apps.get_model(label)._meta
        except (LookupError, ValueError):
            faults.append((f"{label!r}, which is no model", "Write 'app_label.Model' of an installed app."))
            continue
        columns = {name for field in options.fields for name in (field.name, field.attname)}
        known = {"pk", *columns, *(field.name for field in options.many_to_many)}
        faults += [
            (f"{name!r}, which is no field of {options.label!r}: use one of {', '.join(sorted(known))}", "Correct it.")
            for name in fields
            if name not in known
        ]
    return [
        Error(f"PGKNOWBASE['AGENTS']['ORM'] names {fault}.", hint=hint, id="pgknowbase.E006") for fault, hint in faults
    ]


def _check_backends(aliases: list[str]) -> list[CheckMessage]:
    from pgknowbase.embeddings import get_embedder

    messages: list[CheckMessage] = []
    for alias in aliases:
        try:
            embedder = get_embedder(alias)
        except PgKnowbaseError as error:
            messages.append(
                Error(f"EMBEDDINGS[{alias!r}]: {error}", hint="See docs/embeddings.md.", id="pgknowbase.E004")
            )
            continue
        try:
            embedder.verify()
        except PgKnowbaseError as error:  # only a warning: an image may be built without the secrets it runs with
            messages.append(
                Warning(
                    f"EMBEDDINGS[{alias!r}]: {error}",
                    hint="The worker and searches will not run without it.",
                    id="pgknowbase.W005",
                )
            )
    return messages
