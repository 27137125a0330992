"""Django's system checks for pgknowbase.

The checks of settings, models and reactions touch neither a database nor the network. Those of the database run in
``migrate`` and with ``manage.py check --database default``.

============== ================================================ ========================
id             reports                                          function
============== ================================================ ========================
E001           wrong settings                                   check_settings
E002           apps that are not installed                      check_settings
E003           a database that cannot hold the index            check_settings
E004           an embedding backend that cannot be constructed  check_settings
W005           what a backend lacks to run, such as a key       check_settings
E006           unknown models or fields in ORM_TOOL_MODELS      check_settings
E007           a function that names tenants and is not there   check_settings
E008           a cap in money of a model without a price        check_settings
E009           an app of ours without migrations                check_settings
E010           a wrong ExternalDataMeta                         check_source_models
E011           a watched path that cannot be captured           check_source_models
W013           many watched fields                              check_source_models
W014           rows that are written to another database        check_source_models
E020           an active space that the settings do not have    check_database
E021           a database that cannot be used                   check_database
E022           a missing or old pgvector                        check_database
E023           an old Postgres                                  check_database
E024           a database whose text is not Unicode             check_database
E025           a distributed space without a cluster            check_database
W026           a space that is not distributed as asked         check_database
E030           an unknown field of a reaction                   check_reactions
E031           a condition that cannot be evaluated             check_reactions
E032           a name that two reactions share                  check_reactions
E040           an admin that searches a model not in the index  HybridSearchAdminMixin
E050           a replica that is not in DATABASES               check_settings
W051           replicas that no router sends searches to        check_settings
E060           a reranker that cannot be built                  check_settings
W061           a reranker that lacks what its calls need        check_settings
E070           an agent that pydantic-ai does not take          agents.checks
============== ================================================ ========================
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, router
from django.db.migrations.loader import MigrationLoader
from django.db.utils import Error as AnyDatabaseError

from pgknowbase.conf import Settings, get_settings
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.database_errors import explain
from pgknowbase.core.migration_operations import MINIMUM_PGVECTOR, MINIMUM_POSTGRES
from pgknowbase.core.routing import is_same_database
from pgknowbase.embeddings.base import Embedder
from pgknowbase.errors import ConfigurationError, PathNotSupportedError, PgKnowbaseError, SpaceMismatchError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.reactions.registry import declared_reactions
from pgknowbase.replicas import ReplicaRouter
from pgknowbase.rerank.base import Reranker
from pgknowbase.sources.registry import candidates, source_of
from pgknowbase.spaces.specification import active_space, described_space

REQUIRED_APPS = ("django.contrib.postgres", "pgtrigger")
# Every UPDATE compares all watched columns. Up to here that costs little, and few documents are about more fields.
MANY_FIELDS = 16


# Settings


@register("pgknowbase")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001 to E009: settings, apps and their migrations, database engine, embedding backends, ORM tools, costs."""
    messages: list[CheckMessage] = [
        Error(f"{name!r} is not installed.", hint=f"Add {name!r} to INSTALLED_APPS.", id="pgknowbase.E002")
        for name in REQUIRED_APPS
        if not apps.is_installed(name)
    ]
    try:
        settings = get_settings()
    except PgKnowbaseError as error:
        return [*messages, Error(str(error), hint="docs/settings.md lists every key.", id="pgknowbase.E001")]
    messages += _check_migrations()
    messages += _check_engine(settings.database)
    messages += _check_backends(settings.embeddings)
    messages += _check_rerankers(settings.rerankers)
    messages += _check_orm_tool_models(settings.agents.orm_tool_models)
    messages += _check_tenant(settings.costs.tenant)
    messages += _check_caps(settings)
    messages += _check_replicas(settings)
    return messages


def _check_replicas(settings: Settings) -> Iterator[CheckMessage]:
    """Replicas are databases of the project, and searches find their way to them."""
    for primary, replicas in settings.replicas.items():
        for alias in [primary, *replicas]:
            if alias not in connections or connections[alias].vendor != "postgresql":
                yield Error(
                    f"REPLICAS names {alias!r}, which is not a Postgres of DATABASES.",
                    hint="Add it to DATABASES, or take it out of REPLICAS.",
                    id="pgknowbase.E050",
                )
    if settings.replicas and not any(isinstance(each, ReplicaRouter) for each in router.routers):
        yield Warning(
            "REPLICAS names replicas, and no router sends searches to them.",
            hint="Add 'pgknowbase.replicas.ReplicaRouter' to DATABASE_ROUTERS.",
            id="pgknowbase.W051",
        )


def _check_caps(settings: Settings) -> Iterator[CheckMessage]:
    """A cap in money can be kept only where the price is known."""
    from pgknowbase.costs.prices import embedding_price
    from pgknowbase.embeddings import get_embedder

    capped = {cap.model for cap in settings.costs.caps if cap.cost is not None}
    for alias, entry in settings.embeddings.items() if capped else ():
        if not capped & {"", entry.model}:
            continue
        try:
            embedder = get_embedder(alias)
        except PgKnowbaseError:
            continue  # E004 says so
        if embedding_price(embedder.model, embedder.provider) is None:
            yield Error(
                f"COSTS['CAPS'] caps the COST of {entry.model!r}, whose price is unknown, so none of it is embedded.",
                hint="Name its price in COSTS['PRICES'], or cap TOKENS.",
                id="pgknowbase.E008",
            )


def _check_tenant(path: str) -> Iterator[CheckMessage]:
    from pgknowbase.costs.tenants import check_hook

    try:
        check_hook(path)
    except PgKnowbaseError as error:
        yield Error(str(error), hint="See docs/costs.md#tenants.", id="pgknowbase.E007")


def _check_migrations() -> Iterator[CheckMessage]:
    for app in apps.get_app_configs():
        is_ours = app.name.partition(".")[0] == "pgknowbase"
        if is_ours and app.models_module is not None and MigrationLoader.migrations_module(app.label)[0] is None:
            yield Error(
                f"MIGRATION_MODULES leaves {app.label!r} without migrations, which make its functions and indexes.",
                hint=f"Take {app.label!r} out of MIGRATION_MODULES; other apps may be without.",
                id="pgknowbase.E009",
            )


def _check_engine(using: str) -> Iterator[CheckMessage]:
    if using not in connections:
        yield Error(
            f"PGKNOWBASE['DATABASE'] names {using!r}, which DATABASES does not have.",
            hint="Name a key of DATABASES.",
            id="pgknowbase.E003",
        )
    elif connections[using].vendor != "postgresql":
        yield Error(
            f"Database {using!r} is {connections[using].vendor!r}, not Postgres.",
            hint="Use the engine 'django.db.backends.postgresql', or name another database in PGKNOWBASE.",
            id="pgknowbase.E003",
        )
    elif not connections[using].settings_dict["AUTOCOMMIT"]:
        yield Error(
            f"Database {using!r} has AUTOCOMMIT off: nothing that a worker writes would ever be committed.",
            hint="Take AUTOCOMMIT out of DATABASES, or name in PGKNOWBASE an alias of the same database without it.",
            id="pgknowbase.E003",
        )


def _check_backends(aliases: Iterable[str]) -> Iterator[CheckMessage]:
    from pgknowbase.embeddings import get_embedder  # loads optional packages

    hint = "The worker and searches will not run without it."
    return _check_built(
        "EMBEDDINGS", aliases, get_embedder, ("pgknowbase.E004", "See docs/embeddings.md."), ("pgknowbase.W005", hint)
    )


def _check_rerankers(aliases: Iterable[str]) -> Iterator[CheckMessage]:
    from pgknowbase.rerank import get_reranker  # loads optional packages

    hint = "Searches keep the order of their first stage without it."
    return _check_built(
        "RERANKERS", aliases, get_reranker, ("pgknowbase.E060", "See docs/reranking.md."), ("pgknowbase.W061", hint)
    )


def _check_built(
    section: str,
    aliases: Iterable[str],
    get: Callable[[str], Embedder | Reranker],
    unusable: tuple[str, str],
    unverified: tuple[str, str],
) -> Iterator[CheckMessage]:
    """``unusable`` and ``unverified``: id and hint of the messages."""
    for alias in aliases:
        try:
            built = get(alias)
        except PgKnowbaseError as error:
            yield Error(f"{section}[{alias!r}]: {error}", hint=unusable[1], id=unusable[0])
            continue
        try:
            built.verify()
        except PgKnowbaseError as error:
            # Only a warning: an image may be built without the secrets that it runs with.
            yield Warning(f"{section}[{alias!r}]: {error}", hint=unverified[1], id=unverified[0])


def _check_orm_tool_models(listed: Mapping[str, list[str]]) -> Iterator[CheckMessage]:
    for label, fields in listed.items():
        try:
            options = apps.get_model(label)._meta
        except (LookupError, ValueError):
            yield _orm_error(f"{label!r}, which is not a model", "Write 'app_label.Model' of an installed app.")
            continue
        columns = {name for field in options.fields for name in (field.name, field.attname)}
        known = {"pk", *columns, *(field.name for field in options.many_to_many)}
        for name in fields:
            if name not in known:
                yield _orm_error(
                    f"{name!r}, which is not a field of {options.label!r}: use one of {', '.join(sorted(known))}",
                    "Correct it.",
                )


def _orm_error(what: str, hint: str) -> CheckMessage:
    return Error(f"PGKNOWBASE['AGENTS']['ORM_TOOL_MODELS'] names {what}.", hint=hint, id="pgknowbase.E006")


# Models and reactions


@register("pgknowbase", "models")
def check_source_models(**kwargs: Any) -> list[CheckMessage]:
    """E010, E011, W013 and W014: the declarations of source models, and where their rows are written."""
    messages: list[CheckMessage] = []
    using = _known_database()
    for model in candidates():
        try:
            source = source_of(model)
        except PathNotSupportedError as error:
            hint = "docs/models.md lists what can be watched."
            messages.append(Error(str(error), obj=model, hint=hint, id="pgknowbase.E011"))
        except ConfigurationError as error:
            hint = "Correct the model's ExternalDataMeta."
            messages.append(Error(str(error), obj=model, hint=hint, id="pgknowbase.E010"))
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
            written = router.db_for_write(model)
            if using is not None and not is_same_database(written, using):
                messages.append(
                    Warning(
                        f"Rows of {source.label!r} are written to the database {written!r}, and PGKNOWBASE['DATABASE']"
                        f" is {using!r}: they are not indexed.",
                        obj=model,
                        hint=f"Let a router of DATABASE_ROUTERS send the model to {using!r}, or name {using!r} in each"
                        " query: see docs/settings.md.",
                        id="pgknowbase.W014",
                    )
                )
    return messages


def _known_database() -> str | None:
    """The alias of the index, or None where it is wrong: E001 and E003 report that."""
    try:
        using = get_settings().database
    except PgKnowbaseError:
        return None
    return using if using in connections else None


@register("pgknowbase", "models")
def check_reactions(**kwargs: Any) -> list[CheckMessage]:
    """E030 to E032: fields, conditions and names of reactions."""
    messages: list[CheckMessage] = []
    hint = "See docs/reactions.md."
    if (using := _known_database()) is None:
        return messages
    for reaction in declared_reactions():
        try:
            reaction.watched  # noqa: B018 - resolves every field
        except ConfigurationError as error:
            messages.append(Error(str(error), obj=reaction.model, hint=hint, id="pgknowbase.E030"))
        try:
            reaction.check_condition(using)
        except Exception as error:  # noqa: BLE001 - whatever a lookup or a value raises
            text = f"The condition of the reaction {reaction.name!r} is wrong: {error}"
            messages.append(Error(text, obj=reaction.model, hint=hint, id="pgknowbase.E031"))
    for name, count in Counter(reaction.name for reaction in declared_reactions()).items():
        if count > 1:
            text = f"{count} reactions are called {name!r}: only the first one runs."
            messages.append(Error(text, hint="Give the others a name=.", id="pgknowbase.E032"))
    return messages


# The database


@register("pgknowbase", Tags.database)
def check_database(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """E020 to E026: versions of the server, and the active space."""
    try:
        using = get_settings().database
    except PgKnowbaseError:
        return []  # E001 reports it
    if not databases or using not in databases or connections[using].vendor != "postgresql":
        return []
    try:
        return _check_server(using) or _check_space(using)
    except AnyDatabaseError as error:
        explained = explain(error, using)
        if explained is None:
            raise
        return [Error(explained[0], hint=explained[1], id="pgknowbase.E021")]


def _check_server(using: str) -> list[CheckMessage]:
    ((version, installed, available),) = gateway.fetch(using, "server_versions")
    if version < MINIMUM_POSTGRES:
        return [
            Error(
                f"Database {using!r} is Postgres {version // 10000}, which is too old.",
                hint=f"Use Postgres {MINIMUM_POSTGRES // 10000} or newer.",
                id="pgknowbase.E023",
            )
        ]
    if fault := _text_fault(using):
        hint = "Create the database anew with ENCODING 'UTF8' and a locale such as C.UTF-8, and load a dump into it."
        return [Error(fault, hint=hint, id="pgknowbase.E024")]
    pgvector = installed or available
    wanted = ".".join(map(str, MINIMUM_PGVECTOR))
    if pgvector is None:
        return [
            Error(
                f"The server of database {using!r} has no pgvector.",
                hint=f"Install pgvector {wanted} or newer on the server, such as the package"
                f" postgresql-{version // 10000}-pgvector, or the image pgvector/pgvector.",
                id="pgknowbase.E022",
            )
        ]
    if tuple(int(part) for part in pgvector.split(".")[:2]) < MINIMUM_PGVECTOR:
        return [
            Error(
                f"pgvector {pgvector} in database {using!r} is too old.",
                hint=f"Install pgvector {wanted} or newer on the server and run ALTER EXTENSION vector UPDATE there.",
                id="pgknowbase.E022",
            )
        ]
    return []


def _text_fault(using: str) -> str | None:
    """What keeps words that are not ASCII from being found, in this database."""
    ((encoding, is_installed),) = gateway.fetch(using, "text_support")
    if encoding != "UTF8":
        return f"The encoding of database {using!r} is {encoding}: it cannot hold or compare text of all languages."
    if is_installed and not gateway.fetch_value(using, "knows_letters"):
        return (
            f"The locale of database {using!r} knows the letters of ASCII only, and its server has no collation that"
            " knows others: no search finds 'École' by 'école'."
        )
    return None


def _check_space(using: str) -> list[CheckMessage]:
    space = active_space(using) if gateway.fetch_value(using, "is_installed") else None
    if faults := _check_cluster(using, space):
        return faults
    if space is None:
        return []  # before the first migrate
    try:
        described_space(using)
    except SpaceMismatchError as error:
        hint = f"Run {command_line('pgknowbase_space list', using)!r} to compare."
        return [Error(str(error), hint=hint, id="pgknowbase.E020")]
    return []


def _check_cluster(using: str, space: EmbeddingSpace | None) -> list[CheckMessage]:
    settings = get_settings()
    wanted = (settings.space if space is None else settings.spaces.get(space.name, settings.space)).distributed
    if not (wanted or (space is not None and space.distributed)):
        return []
    if not gateway.fetch_value(using, "has_citus"):
        what = "SPACE asks for a distributed store" if space is None else f"The space {space.name!r} is distributed"
        if space is not None and not space.distributed:
            what = f"The settings ask for a distributed store of the space {space.name!r}"
        hint = "Run CREATE EXTENSION citus there and add servers by citus_add_node(), or connect to the coordinator."
        return [Error(f"{what}, and database {using!r} has no extension citus.", hint=hint, id="pgknowbase.E025")]
    if space is None or space.distributed == wanted:
        return []
    action = f"pgknowbase_space {'distribute' if wanted else 'undistribute'} {space.name}"
    return [
        Warning(
            f"The settings say that the space {space.name!r} is {'' if wanted else 'not '}distributed, and it is"
            f"{' not' if wanted else ''}.",
            hint=f"Run {command_line(action, using)!r}, or correct DISTRIBUTED.",
            id="pgknowbase.W026",
        )
    ]
