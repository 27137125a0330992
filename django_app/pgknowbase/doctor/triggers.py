"""Capture triggers: those that stand in the database beside those that the models declare."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from pgknowbase import gateway
from pgknowbase.capture.compiler import CaptureTriggerV1
from pgknowbase.capture.operations import AddCaptureTrigger, RemoveCaptureTrigger
from pgknowbase.capture.triggers import CaptureTrigger, capture_triggers
from pgknowbase.doctor.findings import Finding, error, named, warning
from pgknowbase.reactions.registry import usable
from pgknowbase.reactions.triggers import reaction_triggers
from pgknowbase.registry import sources
from pgknowbase.sql_files import read_sql

FIRES = ("O", "A")


@dataclass(frozen=True)
class Declared:
    """A trigger that a model or a reaction asks for, and what brings in the changes that were missed without it."""

    model: Any
    trigger: CaptureTrigger
    compiled: Any
    repair: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.compiled.sql.pgid)

    @property
    def uri(self) -> str:
        return str(self.trigger.get_uri(self.model))

    @property
    def body(self) -> str:
        """The function's source as Postgres keeps it."""
        return str(self.compiled.install_sql).split("$pgknowbase$")[1]


@dataclass
class _Ways:
    """What brings a trigger to what the models say: a new migration, an old one, or pgtrigger."""

    using: str
    seen: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def loader(self) -> MigrationLoader:
        return MigrationLoader(connections[self.using])

    @cached_property
    def migrated(self) -> dict[str, str]:
        """The hash of each trigger after all migrations that there are."""
        triggers = [
            trigger
            for state in self.loader.project_state().models.values()
            for trigger in state.options.get("triggers", [])
        ]
        return {trigger.sql.pgid: trigger.hash for trigger in triggers if isinstance(trigger, CaptureTriggerV1)}

    def install(self, declared: Declared) -> tuple[str, ...]:
        """The commands that put a trigger in its place and bring in what was missed without it."""
        label = declared.model._meta.app_label
        on = "" if self.using == "default" else f" --database {self.using}"
        if self.migrated.get(declared.name) != declared.compiled.hash:
            return f"manage.py makemigrations {label}", f"manage.py migrate {label}{on}", *declared.repair
        if any(app == label for app, _ in _unapplied(self.using)):
            return f"manage.py migrate {label}{on}", *declared.repair
        return f"manage.py pgtrigger install {declared.uri}{on}", *declared.repair


def migrations(using: str) -> Iterator[Finding]:
    """Migrations that are not applied and bring triggers, or pgknowbase itself."""
    for (app, name), migration in _unapplied(using).items():
        adding = sum(isinstance(operation, AddCaptureTrigger) for operation in migration.operations)
        removing = sum(isinstance(operation, RemoveCaptureTrigger) for operation in migration.operations)
        if adding or removing:
            does = f"installs {adding} and removes {removing} capture triggers"
        elif app == "pgknowbase":
            does = "is pgknowbase's own"
        else:
            continue
        on = "" if using == "default" else f" --database {using}"
        yield error(
            "migration.pending",
            f"The migration {app}.{name} is not applied; it {does}.",
            f"manage.py migrate {app}{on}",
        )


def triggers(using: str) -> Iterator[Finding]:
    """Triggers that are missing, disabled, other ones than declared, or left over."""
    declared = {each.name: each for each in _declared(using)}
    standing: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in gateway.fetch_dicts(using, read_sql("10_doctor/triggers.sql")):
        standing[row["name"]].append(row)
    ways = _Ways(using)
    for name, wanted in declared.items():
        own = [row for row in standing[name] if not row["is_clone"]]
        if not own:
            what = f"The trigger {wanted.uri} is missing on {wanted.compiled.sql.table}: such changes are not noticed."
            yield error("trigger.missing", what, *ways.install(wanted))
        for row in own:
            yield from _differences(row, wanted, ways)
        yield from _disabled(standing[name], wanted)
    left_over = [row for name, rows in standing.items() if name not in declared for row in rows if not row["is_clone"]]
    yield from _left_over(left_over, ways)


def _declared(using: str) -> Iterator[Declared]:
    for source in sources():
        if router.allow_migrate_model(using, source.model._meta.concrete_model):
            for trigger in capture_triggers(source):
                repair = f"manage.py sync_external_models {source.label} --repair"
                yield Declared(source.model, trigger, trigger.compile(source.model), (repair,))
    for reaction in usable().values():  # what was missed without one is not known
        if router.allow_migrate_model(using, reaction.model._meta.concrete_model or reaction.model):
            for trigger in reaction_triggers(reaction):
                yield Declared(reaction.model, trigger, trigger.compile(reaction.model), ())


def _differences(row: dict[str, Any], wanted: Declared, ways: _Ways) -> Iterator[Finding]:
    if row["hash"] != wanted.compiled.hash:
        what = f"The trigger {wanted.uri} on {row['on_table']} is not the one that the model declares now."
        yield error("trigger.drift", what, *ways.install(wanted))
    elif row["body"] != wanted.body or not row["is_secured"]:
        what = f"The function of the trigger {wanted.uri} on {row['on_table']} was altered by hand."
        yield error("trigger.altered", what, *ways.install(wanted))


def _disabled(rows: list[dict[str, Any]], wanted: Declared) -> Iterator[Finding]:
    silent = [row for row in rows if row["enabled"] not in FIRES]
    if silent:
        where = named(row["on_table"] for row in silent)
        yield error(
            "trigger.disabled",
            f"The trigger {wanted.uri} is disabled on {where}: such changes are not noticed.",
            *(f"ALTER TABLE {row['on_table']} ENABLE TRIGGER {wanted.name};" for row in silent),
            *wanted.repair,
        )


def _left_over(rows: list[dict[str, Any]], ways: _Ways) -> Iterator[Finding]:
    for row in rows:
        where = f"The trigger {row['name']} on {row['on_table']}"
        what = f"{where} belongs to no source model and no reaction: its events are never taken."
        if row["name"] in ways.migrated:
            yield warning("trigger.orphan", what, "manage.py makemigrations", "manage.py migrate")
        else:
            yield warning("trigger.orphan", what, f"DROP FUNCTION {row['name']}() CASCADE;")


def _unapplied(using: str) -> dict[tuple[str, str], Any]:
    executor = MigrationExecutor(connections[using])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return {(migration.app_label, migration.name): migration for migration, _ in plan}
