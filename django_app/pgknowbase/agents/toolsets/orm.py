"""Reading rows of models that the settings list, as far as the user of the run may view them.

The filters come from a model, so everything is an allow-list: models, fields and lookups. A path across relations would
lead from a listed field to one that is not, and ``regex`` would let a model make the database work without end.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.exceptions import FieldError, ValidationError
from django.db import DatabaseError, connections, models

from pgknowbase.agents.runs.json_values import as_json
from pgknowbase.agents.tools import RunContext, Toolset
from pgknowbase.agents.toolsets.access import is_secret, signed_in
from pgknowbase.conf import get_settings
from pgknowbase.core.time_limit import time_limit
from pgknowbase.errors import QueryTimeoutError, ToolRefusedError
from pgknowbase.search.visibility import viewer_param, visible_rows
from pgknowbase.sources.registry import is_source, source_of

LOOKUPS = frozenset(
    ("exact", "iexact", "contains", "icontains", "startswith", "istartswith", "in", "gt", "gte", "lt", "lte", "isnull")
)
MAX_ROWS = 100
# Of all filters together, and of the fields to order by.
MAX_VALUES = 500
MAX_VALUE_CHARACTERS = 10_000
MAX_ORDERINGS = 10
Found = TypeVar("Found")


def orm_tools(models: Mapping[str, list[str]] | None = None) -> Toolset:
    """``list_models``, ``query_model`` and ``count_model``.

    ``models``: the fields that may be read, by the label of their model; by default ``AGENTS["ORM_TOOL_MODELS"]``.
    """

    def allowed() -> Mapping[str, list[str]]:
        return get_settings().agents.orm_tool_models if models is None else models

    async def list_models(ctx: RunContext[Any]) -> dict[str, list[str]]:
        """The models that can be queried, with their fields."""
        user = await signed_in(ctx)
        return await sync_to_async(_viewable)(allowed(), user)

    async def query_model(
        ctx: RunContext[Any],
        model: str,
        filters: dict[str, Any] | None = None,
        order_by: list[str] | None = None,
        limit: int = 20,
    ) -> list[dict[str, Any]]:
        """Rows of a model.

        Args:
            ctx: The context of the run.
            model: As list_models returns it, such as "library.Article".
            filters: By field, or field and lookup, such as {"year__gte": 2020}; all must hold.
            order_by: Fields; "-" before a field sorts it in descending order.
            limit: How many, at most 100.
        """
        user = await signed_in(ctx)
        if not 1 <= limit <= MAX_ROWS:
            raise ToolRefusedError(f"limit {limit} is out of range: pass 1 to {MAX_ROWS}.")

        def found() -> list[dict[str, Any]]:
            rows, fields = _rows(allowed(), user, model, filters or {})
            if len(order_by or []) > MAX_ORDERINGS:
                raise ToolRefusedError(f"order_by has {len(order_by or [])} fields: pass at most {MAX_ORDERINGS}.")
            for each in order_by or []:
                _check_field(fields, model, each.removeprefix("-"))
            return [as_json(row) for row in rows.order_by(*(order_by or ["pk"])).values(*fields)[:limit]]

        return await _run_query(found)

    async def count_model(ctx: RunContext[Any], model: str, filters: dict[str, Any] | None = None) -> int:
        """How many rows of a model match the filters, which are those of query_model."""
        user = await signed_in(ctx)
        return await _run_query(lambda: _rows(allowed(), user, model, filters or {})[0].count())

    return Toolset("orm", [list_models, query_model, count_model])


async def _run_query(find: Callable[[], Found]) -> Found:
    def found() -> Found:
        with ExitStack() as limits:
            # Rows may be in any of the project's databases.
            for using in connections:
                if connections[using].vendor == "postgresql":
                    limits.enter_context(time_limit(using))
            return find()

    try:
        return await sync_to_async(found)()
    except QueryTimeoutError as error:
        raise ToolRefusedError(str(error)) from error
    except (FieldError, ValidationError, ValueError, TypeError, DatabaseError) as error:
        raise ToolRefusedError(f"The query is wrong: {str(error)[:300]} Correct the filters.") from error


def _rows(
    allowed: Mapping[str, list[str]], user: Any, label: str, filters: Mapping[str, Any]
) -> tuple["models.QuerySet[Any]", list[str]]:
    """The rows that match and that the user may see, and the fields that may be read."""
    viewable = _viewable(allowed, user)
    name = next((each for each in viewable if each.casefold() == label.casefold()), None)
    if name is None:
        known = ", ".join(map(repr, viewable)) or "none"
        raise ToolRefusedError(f"The model {label!r} cannot be queried: use one of {known}.")
    fields = viewable[name]
    _check_size(filters)
    conditions = {_condition(fields, name, key): value for key, value in filters.items()}
    return _visible(apps.get_model(name), user).filter(**conditions), fields


def _visible(model: type[models.Model], user: Any) -> "models.QuerySet[Any]":
    """The rows that the user may see: by the model's own rule, else those that a search would show them.

    The permission to view a model is checked before. Of a source model with an owner it opens the user's own rows, as
    in a search, and not those of others.
    """
    # Source rows stand in the database of the index; where other models live, routers say.
    rows = model._default_manager.using(get_settings().database if is_source(model) else None)
    seen = visible_rows(model, user)
    if seen is not None:
        return rows.filter(pk__in=seen.values("pk"))
    source = source_of(model) if is_source(model) else None
    restricted = viewer_param(user) is not None
    if source is None or source.owner_path is None or source.config.is_public or not restricted:
        return rows
    # A subquery: a path across a relation to many rows would find a row several times.
    own = model._base_manager.using(rows.db).filter(**{source.owner_path: user.pk})
    return rows.filter(pk__in=own.values("pk"))


def _check_size(filters: Mapping[str, Any]) -> None:
    """Refuse filters that are many or long in total, before any of them is compiled."""
    values = [each for value in filters.values() for each in (value if isinstance(value, list) else [value])]
    if len(values) > MAX_VALUES:
        raise ToolRefusedError(f"The filters have {len(values)} values: pass at most {MAX_VALUES} in all.")
    if sum(len(str(value)) for value in values) > MAX_VALUE_CHARACTERS:
        raise ToolRefusedError(f"The filters are longer than {MAX_VALUE_CHARACTERS} characters: pass less.")


def _viewable(allowed: Mapping[str, list[str]], user: Any) -> dict[str, list[str]]:
    """The listed models that the user has the permission to view, without secret fields."""
    found = {}
    for label, fields in allowed.items():
        options = apps.get_model(label)._meta
        if user.has_perm(f"{options.app_label}.view_{options.model_name}"):
            found[options.label] = [name for name in fields if not is_secret(name)]
    return found


def _condition(fields: list[str], model: str, key: str) -> str:
    """Check a filter's key: a listed field, alone or with an allowed lookup, and never across a relation."""
    name, _, lookup = key.partition("__")
    _check_field(fields, model, name)
    if lookup and lookup not in LOOKUPS:
        raise ToolRefusedError(f"The lookup {lookup!r} in {key!r} is refused: use one of {', '.join(sorted(LOOKUPS))}.")
    return key


def _check_field(fields: list[str], model: str, name: str) -> None:
    if name not in fields:
        raise ToolRefusedError(f"{model!r} has no field {name!r} that can be read: use one of {', '.join(fields)}.")
