"""Capture triggers: those of the database compared with those that models and reactions declare."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from pgknowbase.capture.compiler import CaptureTriggerV1
from pgknowbase.capture.operations import AddCaptureTrigger, RemoveCaptureTrigger
from pgknowbase.capture.triggers import CaptureTrigger, capture_triggers
from pgknowbase.core import gateway
from pgknowbase.operations.doctor.findings import Finding, error, listed, warning
from pgknowbase.reactions.registry import valid_reactions
from pgknowbase.reactions.triggers import reaction_triggers
from pgknowbase.sources.registry import sources

# pg_trigger.tgenabled: fires in normal sessions, or always. "R" and "D" do not fire there.
FIRES = ("O", "A")


@dataclass(frozen=True)
class DeclaredTrigger:
    """A trigger that a model or a reaction declares. ``repair`` finds the changes that were missed without it."""

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
        """The source of its function as Postgres stores it."""
        return str(self.compiled.install_sql).split("$pgknowbase$")[1]


@dataclass
class _Installer:
    """Which commands install a declared trigger: a new migration, a pending one, or pgtrigger."""

    using: str

    @cached_property
    def loader(self) -> MigrationLoader:
        return MigrationLoader(connections[self.using])

    @cached_property
    def migrated(self) -> dict[str, str]:
        """The hash of each trigger once all migrations are applied."""
        triggers = [
            trigger
            for state in self.loader.project_state().models.values()
            for trigger in state.options.get("triggers", [])
        ]
        return {trigger.sql.pgid: trigger.hash for trigger in triggers if isinstance(trigger, CaptureTriggerV1)}

    def commands(self, declared: DeclaredTrigger) -> tuple[str, ...]:
        """The commands that install a trigger and index the changes that were missed without it."""
        label = declared.model._meta.app_label
        if self.migrated.get(declared.name) != declared.compiled.hash:
            return f"manage.py makemigrations {label}", f"manage.py migrate {label}", *declared.repair
        if any(app == label for app, _ in _unapplied(self.using)):
            return f"manage.py migrate {label}", *declared.repair
        return f"manage.py pgtrigger install {declared.uri}", *declared.repair


def migrations(using: str) -> Iterator[Finding]:
    """Pending migrations that install or remove triggers, or are pgknowbase's own."""
    for (app, name), migration in _unapplied(using).items():
        adding = sum(isinstance(operation, AddCaptureTrigger) for operation in migration.operations)
        removing = sum(isinstance(operation, RemoveCaptureTrigger) for operation in migration.operations)
        if adding or removing:
            does = f"installs {adding} and removes {removing} capture triggers"
        elif app == "pgknowbase":
            does = "is pgknowbase's own"
        else:
            continue
        yield error(
            "migration.pending",
            f"The migration {app}.{name} is not applied; it {does}.",
            f"manage.py migrate {app}",
        )


def triggers(using: str) -> Iterator[Finding]:
    """Triggers that are missing, disabled, different from the declared ones, or orphaned."""
    declared = {each.name: each for each in _declared(using)}
    existing: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in gateway.fetch_dicts(using, "doctor_triggers"):
        existing[row["name"]].append(row)
    installer = _Installer(using)
    for name, wanted in declared.items():
        own = [row for row in existing[name] if not row["is_clone"]]
        if not own:
            what = f"The trigger {wanted.uri} is missing on {wanted.compiled.sql.table}: such changes are not captured."
            yield error("trigger.missing", what, *installer.commands(wanted))
        for row in own:
            yield from _differences(row, wanted, installer)
        yield from _disabled(existing[name], wanted)
    orphaned = [row for name, rows in existing.items() if name not in declared for row in rows if not row["is_clone"]]
    yield from _orphaned(orphaned, installer)


def _declared(using: str) -> Iterator[DeclaredTrigger]:
    for source in sources():
        if router.allow_migrate_model(using, source.model._meta.concrete_model):
            for trigger in capture_triggers(source):
                repair = f"manage.py sync_external_models {source.label} --repair"
                yield DeclaredTrigger(source.model, trigger, trigger.compile(source.model), (repair,))
    for reaction in valid_reactions().values():  # no command can find what was missed without one
        if router.allow_migrate_model(using, reaction.model._meta.concrete_model or reaction.model):
            for trigger in reaction_triggers(reaction):
                yield DeclaredTrigger(reaction.model, trigger, trigger.compile(reaction.model), ())


def _differences(row: dict[str, Any], wanted: DeclaredTrigger, installer: _Installer) -> Iterator[Finding]:
    if row["hash"] != wanted.compiled.hash:
        what = f"The trigger {wanted.uri} on {row['on_table']} differs from the one that the model declares."
        yield error("trigger.drift", what, *installer.commands(wanted))
    elif row["body"] != wanted.body or not row["is_secured"]:
        what = f"The function of the trigger {wanted.uri} on {row['on_table']} was altered by hand."
        yield error("trigger.altered", what, *installer.commands(wanted))


def _disabled(rows: list[dict[str, Any]], wanted: DeclaredTrigger) -> Iterator[Finding]:
    not_firing = [row for row in rows if row["enabled"] not in FIRES]
    if not_firing:
        where = listed(row["on_table"] for row in not_firing)
        yield error(
            "trigger.disabled",
            f"The trigger {wanted.uri} is disabled on {where}: such changes are not captured.",
            *(f"ALTER TABLE {row['on_table']} ENABLE TRIGGER {wanted.name};" for row in not_firing),
            *wanted.repair,
        )


def _orphaned(rows: list[dict[str, Any]], installer: _Installer) -> Iterator[Finding]:
    for row in rows:
        where = f"The trigger {row['name']} on {row['on_table']}"
        what = f"{where} belongs to no source model and no reaction: its events are never processed."
        if row["name"] in installer.migrated:
            yield warning("trigger.orphan", what, "manage.py makemigrations", "manage.py migrate")
        else:
            yield warning("trigger.orphan", what, f"DROP FUNCTION {row['name']}() CASCADE;")


def _unapplied(using: str) -> dict[tuple[str, str], Any]:
    executor = MigrationExecutor(connections[using])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return {(migration.app_label, migration.name): migration for migration, _ in plan}
