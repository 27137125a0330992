"""``makemigrations`` and capture triggers: they go into the migrations of the source model's app."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pgtrigger
from django.apps import apps
from django.core.management.commands import makemigrations, migrate
from django.db.migrations import Migration
from django.db.migrations.autodetector import OperationDependency
from django.db.migrations.operations import AlterModelTable, DeleteModel, RemoveField
from pgtrigger.migrations import RemoveTrigger

from pgknowbase.capture.compiler import CaptureTriggerV1
from pgknowbase.capture.operations import AddCaptureTrigger, RemoveCaptureTrigger, RemoveSource
from pgknowbase.capture.triggers import CaptureTrigger, registered_captures
from pgknowbase.sources.registry import is_source

# Dependency types of this module: on the removal of a trigger, and on another name of a table.
REMOVED: Any = "capture trigger removed"
TABLE: Any = "table renamed"
OUTBOX = OperationDependency("pgknowbase", "outboxevent", None, OperationDependency.Type.CREATE)


class CaptureAutodetectorMixin:
    """Turns what pgtrigger's own mixin finds into operations with the dependencies that capture triggers need."""

    from_state: Any
    to_state: Any
    migrations: dict[str, list[Any]]

    def add_operation(
        self,
        app_label: str,
        operation: Any,
        dependencies: Iterable[Any] | None = None,
        beginning: bool = False,
    ) -> None:
        if isinstance(operation, AddCaptureTrigger):
            dependencies = [*(dependencies or []), OUTBOX, *self._needs(app_label, operation)]
        elif type(operation) is RemoveTrigger and self._is_capture(app_label, operation):
            # A column cannot go while the condition of a trigger reads it. So the trigger goes first of all, before the
            # model is renamed too, and is called by the name that the model has there.
            former = self._former_name(app_label, operation.model_name)
            operation, beginning = RemoveCaptureTrigger(former, operation.name), True
        elif isinstance(operation, DeleteModel):
            self._remove_triggers(app_label, operation.name.lower())
        elif isinstance(operation, RemoveField):
            dependencies = [*(dependencies or []), *self._removals(app_label, operation.model_name.lower())]
        super().add_operation(app_label, operation, dependencies, beginning)  # type: ignore[misc]

    def _get_add_trigger_op(self, model: Any, trigger: Any) -> Any:
        compiled = trigger.compile(model) if isinstance(trigger, pgtrigger.Trigger) else trigger
        if isinstance(compiled, CaptureTriggerV1):
            return AddCaptureTrigger(model_name=model._meta.model_name, trigger=compiled)
        return super()._get_add_trigger_op(model, trigger)  # type: ignore[misc]

    def generate_created_models(self) -> None:
        super().generate_created_models()  # type: ignore[misc]
        new: Any = self
        for app_label, model_name in sorted(new.new_unmanaged_keys - new.old_unmanaged_keys):
            # pgtrigger leaves unmanaged models out.
            state = self.to_state.models[app_label, model_name]
            model = self.to_state.apps.get_model(app_label, model_name)
            created = OperationDependency(app_label, model_name, None, OperationDependency.Type.CREATE)
            for trigger in state.options.pop("triggers", []):
                self.add_operation(app_label, self._get_add_trigger_op(model, trigger), [created])

    def generate_deleted_proxies(self) -> None:
        # Before pgtrigger does it, which would remove them from a new model of that name, if there is one.
        proxies: Any = self
        for app_label, model_name in sorted(proxies.old_proxy_keys - proxies.new_proxy_keys):
            self._remove_triggers(app_label, model_name)
            options = self.from_state.models[app_label, model_name].options
            options["triggers"] = [
                trigger for trigger in options.get("triggers", []) if not isinstance(trigger, CaptureTriggerV1)
            ]
        super().generate_deleted_proxies()  # type: ignore[misc]

    def generate_removed_constraints(self) -> None:
        super().generate_removed_constraints()  # type: ignore[misc]
        triggers: Any = self
        for (app_label, model_name), altered in triggers.altered_triggers.items():
            removed = any(isinstance(trigger, CaptureTriggerV1) for trigger in altered["removed_triggers"])
            model = self.to_state.models[app_label, model_name]
            # A model that is synchronised by hand has no triggers either, but is a source model still.
            if removed and not is_source(apps.get_model(app_label, model_name)):
                self.add_operation(app_label, RemoveSource(f"{app_label}.{model.name}"))

    def _build_migration_list(self, graph: Any = None) -> None:
        """Triggers get a migration of their own: reversing it must not drop the tables."""
        super()._build_migration_list(graph)  # type: ignore[misc]
        for app_label, migrations in self.migrations.items():
            self.migrations[app_label] = [part for migration in migrations for part in _parted(app_label, migration)]
            for before, after in pairwise(self.migrations[app_label]):
                after.dependencies = list(dict.fromkeys([*after.dependencies, (app_label, before.name)]))

    def _needs(self, app_label: str, operation: AddCaptureTrigger) -> list[OperationDependency]:
        """What must be there before the trigger: the fields along its path, in whatever app, and the tables' names.

        Django renames a table after it has added constraints, where pgtrigger adds its triggers.
        """
        live = _registered(app_label, operation.model_name, operation.trigger.name)
        needs = list(live.watch.needs) if live else []
        own = (app_label, operation.model_name.lower())
        tables = dict.fromkeys([own, *((app, model) for app, model, _ in needs if app == app_label)])
        return [
            *(OperationDependency(app, model, None, TABLE) for app, model in tables),
            *(
                OperationDependency(app, model, field, OperationDependency.Type.CREATE)
                for app, model, field in needs
                if (app, model) != own
            ),
        ]

    def check_dependency(self, operation: Any, dependency: OperationDependency) -> bool:
        if dependency.type == TABLE:
            return isinstance(operation, AlterModelTable) and operation.name_lower == dependency.model_name
        if dependency.type != REMOVED:
            return bool(super().check_dependency(operation, dependency))  # type: ignore[misc]
        removed: Any = dependency
        return isinstance(operation, RemoveCaptureTrigger) and (
            (operation.model_name.lower(), operation.name) == (removed.model_name, removed.field_name)
        )

    def _removals(self, app_label: str, model_name: str) -> list[OperationDependency]:
        """The triggers of other apps that must go before a column of this model can."""
        table = self.from_state.apps.get_model(app_label, model_name)._meta.db_table
        live = [trigger.compile(model) for model, trigger in registered_captures()]
        return [
            OperationDependency(app, model, trigger.name, REMOVED)
            for (app, model), state in self.from_state.models.items()
            for trigger in state.options.get("triggers", [])
            if isinstance(trigger, CaptureTriggerV1)
            and trigger.sql.table == table
            and app != app_label
            and trigger not in live
        ]

    def _is_capture(self, app_label: str, operation: RemoveTrigger) -> bool:
        return any(trigger.name == operation.name for trigger in self._captured(app_label, operation.model_name))

    def _captured(self, app_label: str, model_name: str) -> list[CaptureTriggerV1]:
        state = self.from_state.models.get((app_label, self._former_name(app_label, model_name)))
        triggers = state.options.get("triggers", []) if state else []
        return [trigger for trigger in triggers if isinstance(trigger, CaptureTriggerV1)]

    def _former_name(self, app_label: str, model_name: str) -> str:
        """The name of a model before the changes, in lower case."""
        renamed: Any = getattr(self, "renamed_models", {})
        return str(renamed.get((app_label, model_name.lower()), model_name))

    def _remove_triggers(self, app_label: str, model_name: str) -> None:
        """A model that goes takes its triggers on other tables along, every function, and its objects in the index."""
        captured = self._captured(app_label, model_name)
        for trigger in captured:
            self.add_operation(app_label, RemoveCaptureTrigger(model_name, str(trigger.name)), beginning=True)
        if captured:
            name = self.from_state.models[app_label, model_name].name
            self.add_operation(app_label, RemoveSource(f"{app_label}.{name}"))


def _parted(app_label: str, migration: Any) -> list[Any]:
    """A migration, in two if it both adds triggers and does other things.

    One that replaces triggers stays whole: no write may fall between the old and the new.
    """
    adding: list[Any] = [operation for operation in migration.operations if isinstance(operation, AddCaptureTrigger)]
    others = [operation for operation in migration.operations if operation not in adding]
    if not adding or not others or any(isinstance(operation, RemoveCaptureTrigger) for operation in others):
        return [migration]
    contents = {"operations": adding, "dependencies": list(migration.dependencies), "suggest_name": _triggers_name}
    triggers = type("Migration", (Migration,), contents)
    needed = {dependency.app_label for operation in others for dependency in operation._auto_deps}
    for_triggers = {dependency.app_label for operation in adding for dependency in operation._auto_deps} - needed
    migration.operations = others
    migration.dependencies = [
        dependency for dependency in migration.dependencies if dependency[0] not in for_triggers - {app_label}
    ]
    return [migration, triggers(f"{migration.name}_triggers", app_label)]


def _triggers_name(migration: Any) -> str:
    return "triggers"


def _registered(app_label: str, model_name: str, name: str | None) -> CaptureTrigger | None:
    for model, trigger in registered_captures():
        opts = model._meta
        if (opts.app_label, opts.model_name, trigger.name) == (app_label, model_name.lower(), name):
            return trigger
    return None


def install() -> None:
    """Wrap the autodetector of ``makemigrations`` and ``migrate``, also where another app has wrapped it before."""
    current: Any = makemigrations.Command.autodetector
    if not issubclass(current, CaptureAutodetectorMixin):
        current = type("MigrationAutodetector", (CaptureAutodetectorMixin, current), {})
    for module in (makemigrations, migrate):
        module.Command.autodetector = current
        vars(module)["MigrationAutodetector"] = current
