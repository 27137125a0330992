"""Watched paths: the tables and columns that each entry of ``watch_fields`` depends on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.constants import LOOKUP_SEP

from pgknowbase.core.keys import key_fields, spelling_of
from pgknowbase.errors import ConfigurationError, PathNotSupportedError


@dataclass
class Watch:
    """One table whose changes concern rows of a source model, and how a change there leads to these rows.

    ``name``: '' for the source's own table, else the path that leads here.
    ``prefix``: the lookup from the source model to a row here; '' for the source itself.
    ``lookup``: the lookup from the source model whose values ``keys`` hold; '' where they are the source's own key.
    ``keys``: the fields of this table whose values identify the source rows.
    ``columns``: the fields whose change matters, by column.
    ``lifecycle``: whether inserts, deletes and TRUNCATE matter too.
    ``needs``: (app label, model name, field name) of all that must exist before a trigger can be created here.
    """

    model: type[models.Model]
    name: str
    prefix: str
    lookup: str
    keys: tuple[Any, ...]
    lifecycle: bool
    columns: dict[str, Any] = field(default_factory=dict)
    needs: dict[tuple[str, str, str], None] = field(default_factory=dict)

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def is_link(self) -> bool:
        """Whether rows here point at the source rows, so that a key may be null, occur several times, or change."""
        return bool(self.name) and self.lifecycle and self.keys[0].is_relation

    def step(self, name: str) -> str:
        """The lookup of ``name`` as seen from a row here."""
        return f"{self.prefix}{LOOKUP_SEP}{name}" if self.prefix else name


def watched_tables(model: type[models.Model], paths: Iterable[str]) -> list[Watch]:
    """The tables that ``paths`` lead through, the model's own first.

    Raises:
        ConfigurationError: a path names nothing on the model, or a key has a type that cannot be spelled as text.
        PathNotSupportedError: it leads where no trigger can follow.
    """
    own = Watch(model, "", "", "", key_fields(model), lifecycle=True)
    tables = {"": own}
    for path in paths:
        _follow(tables, model, path)
    watches = [watch for watch in tables.values() if watch.columns or watch.lifecycle]
    for key in (key for watch in watches for key in watch.keys):
        spelling_of(key)
    return watches


def walk(model: type[models.Model], path: str) -> Iterator[Any]:
    """The fields, forward or reverse, that ``path`` names one after another.

    Raises:
        ConfigurationError: it names nothing, or goes on behind a column.
    """
    label, current = model._meta.label, model
    names = path.split(LOOKUP_SEP)
    for place, name in enumerate(names):
        if name == "pk":
            raise ConfigurationError(f"{path!r} of {label!r} names the key, which is always watched: leave 'pk' out.")
        try:
            found: Any = current._meta.get_field(name)
        except FieldDoesNotExist as error:
            known = ", ".join(sorted(each.name for each in current._meta.get_fields()))
            told = (
                f"{path!r} is not a field of {label!r}"
                if len(names) == 1
                else f"{path!r} of {label!r} is wrong, {current._meta.label!r} has no field {name!r}"
            )
            raise ConfigurationError(f"{told}: use one of {known}.") from error
        yield found
        if place < len(names) - 1:
            if not found.is_relation or found.related_model is None:
                raise ConfigurationError(
                    f"{path!r} of {label!r} goes through {name!r}, which is not a relation to a model: end the path"
                    " before it."
                )
            current = found.related_model


def is_many(step: Any) -> bool:
    """Whether a field of a path leads to any number of rows."""
    return bool(step.many_to_many or step.one_to_many)


def accessor(step: Any) -> str:
    """The attribute of a row that a field of a path is read by; a reverse relation has a name of its own for it."""
    return str(step.get_accessor_name() if step.auto_created and not step.concrete else step.name)


def _follow(tables: dict[str, Watch], model: type[models.Model], path: str) -> None:
    here, current = tables[""], model
    for step in walk(model, path):
        if _is_generic(step):
            raise _not_possible(model, path, f"goes through the generic relation {step.name!r}")
        here = _to_parent(tables, here, current, step.model)
        if step.is_relation:
            here = _through(tables, here, step, model, path)
            current = step.related_model
        elif getattr(step, "column", None) is None:
            raise _not_possible(model, path, "has no column of its own")
        else:
            _watch_column(here, step)


def _watch_column(watch: Watch, step: Any) -> None:
    watch.columns[step.column] = step
    watch.needs[step.model._meta.app_label, step.model._meta.model_name, step.name] = None


def _through(tables: dict[str, Watch], here: Watch, step: Any, model: type[models.Model], path: str) -> Watch:
    """Go along a relation, by way of the table between if it is many-to-many."""
    name = step.name
    prefix = here.step(name)
    declared = getattr(step, "field", step)  # the many-to-many field itself, also where it is seen from behind
    for info in step.path_infos:
        join = info.join_field
        target = info.to_opts.model
        if info.direct:
            if getattr(join, "column", None) is None:
                raise _not_possible(model, path, f"goes through {join.name!r}, which is not one column")
            _watch_column(here, join)
            # By the value that the foreign key holds: a join would find nothing once the row is gone.
            key = join.target_field
            lookup = f"{prefix}{LOOKUP_SEP}{'pk' if key.primary_key else key.name}"
            here = tables.setdefault(
                prefix, Watch(target, prefix, prefix, lookup, (key,), lifecycle=not is_guarded(join))
            )
        else:
            link = join.field
            if getattr(link, "column", None) is None:
                raise _not_possible(model, path, f"goes through {link.name!r}, which is not one column")
            between = step.many_to_many
            place = f"{prefix}_through" if between else prefix
            reached = Watch(target, place, prefix, _identity(here, link.target_field), (link,), lifecycle=True)
            here = tables.setdefault(place, reached)
            _watch_column(here, link)
        if step.many_to_many:
            here.needs[declared.model._meta.app_label, declared.model._meta.model_name, declared.name] = None
    return here


def _identity(watch: Watch, target: Any) -> str:
    """The lookup for "the row here whose ``target`` field has this value"."""
    is_own_key = watch.name == "" and watch.keys == (target,)
    return "" if is_own_key else watch.step(target.name)


def _to_parent(tables: dict[str, Watch], here: Watch, current: type[models.Model], owner: type[models.Model]) -> Watch:
    """Climb to the table of the parent model that a field belongs to, in multi-table inheritance."""
    wanted: Any = owner._meta.concrete_model
    while (concrete := current._meta.concrete_model) is not wanted:
        opts: Any = concrete._meta  # type: ignore[union-attr]
        base = opts.get_base_chain(wanted)[0]
        link = opts.parents[base]
        prefix = here.step(link.name)
        _watch_column(here, link)
        parent = Watch(base, prefix, prefix, f"{prefix}__pk", key_fields(base), lifecycle=False)
        here = tables.setdefault(prefix, parent)
        current = base
    return here


def is_guarded(join: Any) -> bool:
    """Whether a constraint of the database guarantees that the row which ``join`` points at exists."""
    return bool(join.db_constraint and join.model._meta.managed and join.remote_field.model._meta.managed)


def _is_generic(step: Any) -> bool:
    return bool(step.is_relation and (step.related_model is None or (step.one_to_many and not step.auto_created)))


def _not_possible(model: type[models.Model], path: str, why: str) -> PathNotSupportedError:
    return PathNotSupportedError(
        f"{path!r} of {model._meta.label!r} {why}, which cannot be captured: watch something else, and call"
        " sync_to_external_data() where that changes."
    )
