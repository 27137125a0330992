"""Reading rows of models that the settings list, as far as the user of the run may view them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.exceptions import FieldError, ValidationError
from django.db import DatabaseError, models

from pgknowbase.agents.adapter import RunContext, toolset
from pgknowbase.agents.recording.values import as_json
from pgknowbase.agents.toolsets.access import is_secret, signed_in
from pgknowbase.conf import get_settings
from pgknowbase.errors import ToolRefusedError
from pgknowbase.search.visibility import visible_rows

LOOKUPS = frozenset(
    ("exact", "iexact", "contains", "icontains", "startswith", "istartswith", "in", "gt", "gte", "lt", "lte", "isnull")
)
MOST = 100
Found = TypeVar("Found")


def orm_tools(models: Mapping[str, list[str]] | None = None) -> Any:
    """``list_models``, ``query_model`` and ``count_model`` over ``models``: their fields by label.

    Default: ``AGENTS["ORM"]``.
    """

    def allowed() -> Mapping[str, list[str]]:
        return get_settings().agents.orm if models is None else models

    async def list_models(ctx: RunContext[Any]) -> dict[str, list[str]]:
        """The models that can be asked, with their fields."""
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
            ctx: Of the run.
            model: As list_models says, such as "library.Article".
            filters: By field, or field and lookup, such as {"year__gte": 2020}; all must hold.
            order_by: Fields, with "-" before one for the largest first.
            limit: How many, at most 100.
        """
        user = await signed_in(ctx)
        if not 1 <= limit <= MOST:
            raise ToolRefusedError(f"limit {limit} is out of range: pass 1 to {MOST}.")

        def found() -> list[dict[str, Any]]:
            rows, fields = _rows(allowed(), user, model, filters or {})
            for each in order_by or []:
                _field(fields, model, each.removeprefix("-"))
            return [as_json(row) for row in rows.order_by(*(order_by or ["pk"])).values(*fields)[:limit]]

        return await _asked(found)

    async def count_model(ctx: RunContext[Any], model: str, filters: dict[str, Any] | None = None) -> int:
        """How many rows of a model pass the filters, which are those of query_model."""
        user = await signed_in(ctx)
        return await _asked(lambda: _rows(allowed(), user, model, filters or {})[0].count())

    return toolset("orm", [list_models, query_model, count_model])


async def _asked(find: Callable[[], Found]) -> Found:
    try:
        return await sync_to_async(find)()
    except (FieldError, ValidationError, ValueError, TypeError, DatabaseError) as error:
        raise ToolRefusedError(f"The query is not understood: {str(error)[:300]} Correct the filters.") from error


def _rows(
    allowed: Mapping[str, list[str]], user: Any, label: str, filters: Mapping[str, Any]
) -> tuple["models.QuerySet[Any]", list[str]]:
    """The rows that the user may see and that pass, and the fields that may be read."""
    viewable = _viewable(allowed, user)
    name = next((each for each in viewable if each.casefold() == label.casefold()), None)
    if name is None:
        known = ", ".join(map(repr, viewable)) or "none"
        raise ToolRefusedError(f"The model {label!r} cannot be asked: use one of {known}.")
    fields = viewable[name]
    conditions = {_condition(fields, name, key): value for key, value in filters.items()}
    model = apps.get_model(name)
    rows = model._default_manager.all()
    seen = visible_rows(model, user)
    if seen is not None:
        rows = rows.filter(pk__in=seen.values("pk"))
    return rows.filter(**conditions), fields


def _viewable(allowed: Mapping[str, list[str]], user: Any) -> dict[str, list[str]]:
    """The listed models that the user has the permission to view, without secret fields."""
    found = {}
    for label, fields in allowed.items():
        options = apps.get_model(label)._meta
        if user.has_perm(f"{options.app_label}.view_{options.model_name}"):
            found[options.label] = [name for name in fields if not is_secret(name)]
    return found


def _condition(fields: list[str], model: str, key: str) -> str:
    """A filter's key, if it is a listed field, alone or with a known lookup; nothing goes across relations."""
    name, _, lookup = key.partition("__")
    _field(fields, model, name)
    if lookup and lookup not in LOOKUPS:
        raise ToolRefusedError(f"The lookup {lookup!r} in {key!r} is refused: use one of {', '.join(sorted(LOOKUPS))}.")
    return key


def _field(fields: list[str], model: str, name: str) -> None:
    if name not in fields:
        raise ToolRefusedError(f"{model!r} has no field {name!r} to ask for: use one of {', '.join(fields)}.")
