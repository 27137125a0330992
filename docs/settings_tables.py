"""``python -m docs.settings_tables``: write the tables of docs/settings.md from the fields of ``pgknowbase.conf``."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pgknowbase.conf import (
    BudgetSettings,
    CapSettings,
    EmbeddingSettings,
    ProviderSettings,
    RerankerSettings,
    RetryPolicy,
    Settings,
)

PAGE = Path(__file__).with_name("settings.md")
# The headings of the page that are not the name of a section of Settings.
NAMED: dict[str, type[BaseModel]] = {
    "PGKNOWBASE": Settings,
    "EMBEDDINGS": EmbeddingSettings,
    "RERANKERS": RerankerSettings,
    "PROVIDERS": ProviderSettings,
    "BUDGETS": BudgetSettings,
    "RETRY": RetryPolicy,
    "CAPS": CapSettings,
}
TABLE = re.compile(r"(^#+ `(\w+)`\n(?:(?!^#|^\|).*\n)*)((?:^\|.*\n)+)", re.MULTILINE)


def sections() -> dict[str, type[BaseModel]]:
    """The model of each heading."""
    nested = {
        name.upper(): type(field.default)
        for name, field in Settings.model_fields.items()
        if isinstance(field.default, BaseModel)
    }
    return NAMED | nested


def table(model: type[BaseModel]) -> str:
    """The rows of one section: key, type with its bounds, default, description."""
    rows = [("key", "type", "default", "meaning"), ("---",) * 4, *_rows(model)]
    return "".join(f"|{'|'.join(row)}|\n" if row[0] == "---" else f"| {' | '.join(row)} |\n" for row in rows)


def page() -> str:
    """The page with its tables written anew."""
    models = sections()
    return TABLE.sub(lambda found: found[1] + table(models[found[2]]), PAGE.read_text(encoding="utf-8"))


def _rows(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        yield f"`{name.upper()}`", _type(field), _default(field), str(field.description)


def _type(field: FieldInfo) -> str:
    kind: Any = field.annotation
    bounds = field.metadata
    is_optional = NoneType in get_args(kind)
    if is_optional:
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is Annotated:  # beside None, pydantic leaves the bounds in the annotation
        kind, inner = get_args(kind)
        bounds = inner.metadata
    if get_origin(kind) is Literal:
        *others, last = (f"`{value!r}`" for value in get_args(kind))
        return f"{', '.join(others)} or {last}"
    name = "dict" if _is_dict(kind) else kind.__name__
    return ", ".join([name, *_bounds(bounds)]) + (", or `None`" if is_optional else "")


def _is_dict(kind: Any) -> bool:
    return get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel))


def _bounds(metadata: list[Any]) -> Iterator[str]:
    least = next((bound.ge for bound in metadata if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in metadata if isinstance(bound, Le)), None)
    if least is not None:
        yield f"from {least}" if most is None else f"{least} to {most}"
    for bound in metadata:
        if isinstance(bound, Gt):
            yield f"above {bound.gt}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if not isinstance(field.default, BaseModel):
        return f"`{field.default!r}`"
    values = field.default.model_dump(by_alias=True, exclude_none=True)
    return "see below" if len(values) > 3 else f"`{values!r}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
