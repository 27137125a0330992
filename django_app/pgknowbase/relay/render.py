"""Rendering: what a source row's hooks say of it, checked before anything is written."""

import hashlib
from collections.abc import Iterable
from json.encoder import encode_basestring as quoted
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import Promise

from pgknowbase.errors import PgKnowbaseError
from pgknowbase.meta import SourceRow
from pgknowbase.registry import Source
from pgknowbase.relay.language import language_of
from pgknowbase.relay.meter import Meter

LONGEST_TITLE = 2000
# In UTF-8 less than the 2.7 kB that an entry of a GIN index can hold.
LONGEST_TAG = 600
DEEPEST = 100
ENCODER = DjangoJSONEncoder(ensure_ascii=False, allow_nan=False)
ADVICE = {
    LONGEST_TITLE: "return a shorter title, for it stands before each chunk",
    LONGEST_TAG: "return shorter tags, for each is indexed whole",
}


class RenderError(PgKnowbaseError):
    """A hook returned something that cannot be stored."""


class Renderer:
    """Makes the records of one batch: the JSON texts that ``pgknowbase_apply_v1`` reads.

    ``longest``: in characters. ``language``: where a row names none. ``known``: the text search
    configurations of the database.
    """

    def __init__(self, source: Source, meter: Meter, longest: int, language: str, known: frozenset[str]) -> None:
        config = source.config
        self.language = language
        self.known_languages = known
        self.meter = meter
        self.longest = longest
        self._owner_steps = source.owner_path.split("__") if source.owner_path else []
        constant = {
            "is_public": config.is_public,
            "similarity_threshold": config.similarity_threshold,
            "source_type": config.source_type,
        }
        self._constant = ENCODER.encode(constant)[1:]

    def record(self, row: SourceRow) -> str | None:
        """What the row's hooks say of it, or None where it is not to be in the index.

        Raises:
            RenderError: a hook returned a value of the wrong type or size, or what Postgres cannot store.
        """
        enter = self.meter.enter
        enter("should_sync_to_external_data")
        if not _wanted(row):
            return None
        enter("get_external_content")
        returned = row.get_external_content()
        content = "" if returned is None else _text("get_external_content", returned, self.longest)
        if not content or content.isspace():
            return None
        enter("get_external_title")
        title = _text("get_external_title", row.get_external_title(), LONGEST_TITLE)
        enter("get_external_description")
        description = _text("get_external_description", row.get_external_description(), self.longest)
        enter("get_external_tags")
        tags = _tags(row, self.longest)
        enter("get_external_language")
        declared = self._declared_language(row)
        enter("owner_field")
        owner_id = self._owner_id(row)
        enter("get_external_metadata")
        metadata = _metadata(row)
        self.meter.leave()
        language = declared or language_of(f"{title}\n{content}", self.known_languages)
        digest = hashlib.sha256("\x1f".join((title, content, declared)[: 3 if declared else 2]).encode()).hexdigest()
        # Faster than a dict and an encoder of it.
        return (
            f'{{"object_key": {quoted(row.external_source_id)}, "title": {quoted(title)},'
            f' "description": {quoted(description)}, "content": {quoted(content)}, "content_hash": "{digest}",'
            f' "language": {quoted(language)},'
            f' "metadata": {self._json(metadata)}, "tags": {ENCODER.encode(tags) if tags else "[]"},'
            f' "owner": {{"owner_id": {"null" if owner_id is None else ENCODER.encode(owner_id)}}}, {self._constant}'
        )

    def _owner_id(self, row: SourceRow) -> Any:
        if not self._owner_steps:
            return None
        *steps, last = self._owner_steps
        step: Any = row
        for name in steps:
            step = getattr(step, name)
            if step is None:
                return None
        return getattr(step, step._meta.get_field(last).attname)

    def _declared_language(self, row: SourceRow) -> str:
        language: Any = row.get_external_language() or self.language
        if language != "" and language not in self.known_languages:
            raise RenderError(
                f"get_external_language() returned {language!r}, which is no text search configuration of this"
                f" database: return '' or one of {', '.join(sorted(self.known_languages))}."
            )
        return str(language)

    def _json(self, metadata: dict[str, Any]) -> str:
        if not metadata:
            return "{}"
        try:
            text = ENCODER.encode(metadata)
        except (TypeError, ValueError) as error:
            raise RenderError(f"get_external_metadata() returned no JSON ({error}): return JSON values.") from error
        _bounded("get_external_metadata", len(text), self.longest)
        return _storable("get_external_metadata", text)


def _wanted(row: SourceRow) -> bool:
    answer: Any = row.should_sync_to_external_data()
    if not isinstance(answer, bool):
        raise RenderError(f"should_sync_to_external_data() returned {_kind(answer)}: return True or False.")
    return answer


def _tags(row: SourceRow, longest: int) -> list[str]:
    hook = "get_external_tags"
    returned: Any = row.get_external_tags()
    if isinstance(returned, str | bytes | dict) or not isinstance(returned, Iterable):
        raise RenderError(f"{hook}() returned {_kind(returned)}: return a list of texts.")
    tags = sorted({_text(hook, tag, LONGEST_TAG) for tag in returned})
    _bounded(hook, sum(map(len, tags)), longest)
    return tags


def _metadata(row: SourceRow) -> dict[str, Any]:
    value: Any = row.get_external_metadata()
    if not isinstance(value, dict):
        raise RenderError(f"get_external_metadata() returned {_kind(value)}: return a dict.")
    _check_json(value, 1)
    return value


def _check_json(value: Any, depth: int) -> None:
    """Refuse what JSON, or Postgres, would refuse later or change in silence."""
    if isinstance(value, str):
        if "\x00" in value:
            raise RenderError("get_external_metadata() holds a NUL character, which Postgres cannot store: remove it.")
    elif isinstance(value, dict | list | tuple):
        if depth > DEEPEST:
            raise RenderError(f"get_external_metadata() is nested more than {DEEPEST} deep: return flatter JSON.")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise RenderError(f"get_external_metadata() has the key {key!r}, which is no text: use texts.")
                _check_json(key, depth)
            value = value.values()
        for part in value:
            _check_json(part, depth + 1)


def _text(hook: str, value: Any, longest: int) -> str:
    if not isinstance(value, str):
        if not (hasattr(value, "__html__") or isinstance(value, Promise)):
            raise RenderError(f"{hook}() returned {_kind(value)}: return a text.")
        value = str(value)
    _bounded(hook, len(value), longest)
    return _storable(hook, value)


def _storable(hook: str, value: str) -> str:
    if "\x00" in value:
        raise RenderError(f"{hook}() returned a text with a NUL character, which Postgres cannot store: remove it.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RenderError(
            f"{hook}() returned a text with a lone surrogate at {error.start}, which is no character: remove it."
        ) from error
    return str(value)


def _bounded(hook: str, length: int, longest: int) -> None:
    if length > longest:
        advice = ADVICE.get(longest, "return less, or raise WORKER['MAX_DOCUMENT_CHARACTERS'] in settings.PGKNOWBASE")
        raise RenderError(f"{hook}() returned {length:,} characters, and {longest:,} are allowed: {advice}.")


def _kind(value: Any) -> str:
    return repr(type(value).__name__)
