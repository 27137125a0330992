"""Rendering: what a source row's hooks say of it, checked before anything is written."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from pgknowbase.errors import PgKnowbaseError
from pgknowbase.meta import SourceRow
from pgknowbase.registry import Source


class RenderError(PgKnowbaseError):
    """A hook returned something that cannot be stored."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One source row as it goes into the index. ``as_json`` is the record that ``pgknowbase_apply_v1`` reads."""

    object_key: str
    title: str
    description: str
    content: str
    metadata: dict[str, Any]
    tags: list[str]
    owner_id: Any
    source: Source

    @property
    def content_hash(self) -> str:
        """sha256 of what is embedded: title and content."""
        return hashlib.sha256(f"{self.title}\x1f{self.content}".encode()).hexdigest()

    def as_json(self) -> str:
        """The record as JSON text.

        Raises:
            RenderError: the metadata is no JSON, or a text holds what Postgres cannot store.
        """
        config = self.source.config
        record = {
            "object_key": self.object_key,
            "title": self.title,
            "description": self.description,
            "content": self.content,
            "content_hash": self.content_hash,
            "metadata": self.metadata,
            "tags": self.tags,
            "owner": {"owner_id": self.owner_id},
            "is_public": config.is_public,
            "similarity_threshold": config.similarity_threshold,
            "source_type": config.source_type,
        }
        try:
            text = json.dumps(record, cls=DjangoJSONEncoder, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RenderError(
                f"get_external_metadata() of {self.object_key!r} returned no JSON ({error}): return JSON values."
            ) from error
        _text("get_external_metadata", text)
        if _has_nul(self.metadata):
            raise RenderError(f"get_external_metadata() of {self.object_key!r} holds a NUL character: remove it.")
        return text


def render(source: Source, row: SourceRow) -> Rendered | None:
    """The row as its hooks describe it, or None where it is not to be in the index.

    Raises:
        RenderError: a hook returned a value of the wrong type, or a text that Postgres cannot store.
    """
    if not row.should_sync_to_external_data():
        return None
    content = _text("get_external_content", row.get_external_content() or "")
    if not content.strip():
        return None
    metadata, tags = row.get_external_metadata(), row.get_external_tags()
    if not isinstance(metadata, dict):
        raise RenderError(f"get_external_metadata() returned {type(metadata).__name__!r}: return a dict.")
    if isinstance(tags, str):
        raise RenderError(f"get_external_tags() returned the text {tags!r}: return a list of texts.")
    return Rendered(
        object_key=row.external_source_id,
        title=_text("get_external_title", row.get_external_title()),
        description=_text("get_external_description", row.get_external_description()),
        content=content,
        metadata=metadata,
        tags=sorted({_text("get_external_tags", tag) for tag in tags}),
        owner_id=_owner_id(source, row),
        source=source,
    )


def _owner_id(source: Source, row: SourceRow) -> Any:
    path = source.owner_path
    if path is None:
        return None
    *steps, last = path.split("__")
    step: Any = row
    for name in steps:
        step = getattr(step, name)
        if step is None:
            return None
    return getattr(step, step._meta.get_field(last).attname)


def _text(hook: str, value: Any) -> str:
    if not isinstance(value, str):
        value = str(value) if hasattr(value, "__html__") or _is_lazy(value) else _refuse(hook, value)
    if "\x00" in value:
        raise RenderError(f"{hook}() returned a text with a NUL character, which Postgres cannot store: remove it.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RenderError(
            f"{hook}() returned a text with a lone surrogate at {error.start}, which is no character: remove it."
        ) from error
    return str(value)


def _is_lazy(value: Any) -> bool:
    from django.utils.functional import Promise

    return isinstance(value, Promise)


def _refuse(hook: str, value: Any) -> str:
    raise RenderError(f"{hook}() returned {type(value).__name__!r}: return a text.")


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\x00" in value
