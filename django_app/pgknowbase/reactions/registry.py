"""``on_change``, and the reactions that this project has declared."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import Q

from pgknowbase.core.discovery import import_from_apps
from pgknowbase.errors import ConfigurationError
from pgknowbase.reactions.change import OPS, Change

Target = TypeVar("Target")
MODULES = ("reactions", "agents")
LETTERS = {op: letter for letter, op in OPS.items()}


@dataclass(frozen=True, eq=False)
class Reaction:
    """A function or an agent, and the changes that it runs for. ``fields`` None: every column of the model's table."""

    name: str
    target: Any
    model: type[models.Model]
    fields: tuple[str, ...] | None
    condition: Q | None
    on: tuple[str, ...]
    timeout: float | None
    max_attempts: int | None

    @property
    def watched(self) -> list[Any]:
        """The fields whose update matters.

        Raises:
            ConfigurationError: a field is none of the model's, or is not a column of its table.
        """
        return [self._watched(name) for name in self.fields or ()]

    def _watched(self, name: str) -> Any:
        opts = self.model._meta
        try:
            field: Any = opts.get_field(name)
        except FieldDoesNotExist as error:
            known = ", ".join(sorted(field.name for field in opts.local_concrete_fields))
            raise ConfigurationError(
                f"{name!r} of the reaction {self.name!r} is not a field of {opts.label!r}: use one of {known}."
            ) from error
        concrete: Any = opts.concrete_model
        column = getattr(field, "column", None)
        if column is None or field not in concrete._meta.local_concrete_fields:
            raise ConfigurationError(
                f"{name!r} of the reaction {self.name!r} is not a column of the table of {opts.label!r}: react to the"
                " model whose table has it, such as the parent, the related or the through model."
            )
        return field

    def check_condition(self, using: str) -> None:
        """Raise what is wrong with the condition in the database ``using``, if anything is."""
        if self.condition is not None:
            rows: Any = self.model._base_manager.filter(self.condition).values("pk")
            # Not str(query), which compiles for the database "default": a project need not have it.
            rows.query.get_compiler(using).as_sql()

    def call(self, change: Change) -> Any:
        """Whatever the function or agent returns, perhaps an awaitable."""
        return getattr(self.target, "run_for_change", self.target)(change)


_declared: list[Reaction] = []
_listeners: list[Callable[[Reaction], None]] = []


def on_change(
    model: type[models.Model],
    *,
    fields: Iterable[str] | None = None,
    condition: Q | None = None,
    on: Iterable[str] = ("insert", "update"),
    name: str | None = None,
    timeout: float | None = None,
    max_attempts: int | None = None,
) -> Callable[[Target], Target]:
    """Run a function, or an agent, in the worker after each committed change of a row of ``model``.

    Args:
        fields: columns whose update matters; all of them by default. An insert or a delete matters whatever they hold.
        condition: what the committed row must pass when the run begins; not asked for a delete.
        on: which of ``insert``, ``update`` and ``delete``.
        name: by default the app's label and the function's name. Changes that wait go by it.
        timeout: seconds of one run, instead of ``TIMEOUT``.
        max_attempts: runs before a change is a dead letter, instead of ``RETRY["MAX_ATTEMPTS"]``.

    Raises:
        ConfigurationError: an argument of the wrong kind. Fields and condition are left to the system checks.
    """
    wanted = _checked(model, fields, condition, on)

    def declare(target: Target) -> Target:
        if not callable(getattr(target, "run_for_change", target)):
            raise ConfigurationError(
                f"{target!r} cannot react to {model._meta.label!r}: decorate a function, or pass an object with"
                " run_for_change()."
            )
        reaction = Reaction(
            name=name or _default_name(target, model),
            target=target,
            model=model,
            fields=wanted,
            condition=condition,
            on=tuple(op for op in LETTERS if op in set(on)),
            timeout=timeout,
            max_attempts=max_attempts,
        )
        _declared.append(reaction)
        for listener in _listeners:
            listener(reaction)
        return target

    return declare


def reactions() -> dict[str, Reaction]:
    """The reactions by name; of two with one name the first."""
    found: dict[str, Reaction] = {}
    for reaction in _declared:
        found.setdefault(reaction.name, reaction)
    return found


def valid_reactions() -> dict[str, Reaction]:
    """The reactions whose fields exist, by name; the system checks report the others."""
    found = {}
    for name, reaction in reactions().items():
        try:
            reaction.watched  # noqa: B018 - resolves every field
        except ConfigurationError:
            continue
        found[name] = reaction
    return found


def declared_reactions() -> list[Reaction]:
    """Every declaration, also those that share a name with another."""
    return list(_declared)


def discover(listener: Callable[[Reaction], None]) -> None:
    """Import ``reactions.py`` and ``agents.py`` of all apps; call ``listener`` with each reaction, now and later."""
    for name in MODULES:
        import_from_apps(name)
    for reaction in reactions().values():
        listener(reaction)
    _listeners.append(listener)


def _checked(model: Any, fields: Any, condition: Any, on: Iterable[str]) -> tuple[str, ...] | None:
    if not (isinstance(model, type) and issubclass(model, models.Model)) or model._meta.abstract:
        raise ConfigurationError(f"on_change() was given {model!r}: give it a model that has a table.")
    label = model._meta.label
    ops = [on] if isinstance(on, str) else list(on)
    if not ops or not set(ops) <= LETTERS.keys() or isinstance(on, str):
        raise ConfigurationError(f"on={on!r} for {label!r} is wrong: give a tuple of {', '.join(LETTERS)}.")
    if condition is not None and not isinstance(condition, Q):
        raise ConfigurationError(f"condition={condition!r} for {label!r} is not a Q object: pass one, or None.")
    if fields is None:
        return None
    names = [fields] if isinstance(fields, str) else list(fields)
    if not names or isinstance(fields, str) or not all(isinstance(each, str) for each in names):
        raise ConfigurationError(f"fields={fields!r} for {label!r} is not a list of names: pass one, or None for all.")
    return tuple(dict.fromkeys(names))


def _default_name(target: Any, model: type[models.Model]) -> str:
    """``app.function``: the app is that of the function's module, else that of the model."""
    own = getattr(target, "__name__", None) or getattr(target, "name", None) or type(target).__name__
    config = apps.get_containing_app_config(getattr(target, "__module__", None) or "")
    ours = config is None or config.name.partition(".")[0] == "pgknowbase"  # an agent's class, not its app
    return f"{model._meta.app_label if config is None or ours else config.label}.{own}"
