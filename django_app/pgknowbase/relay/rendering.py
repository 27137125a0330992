"""Rendering: calling the hooks of source rows, and checking what they return before anything is written."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, transaction
from django.utils.functional import Promise

from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.routing import reads_from
from pgknowbase.core.server_limits import exceeded_limit, is_lost
from pgknowbase.core.text import find_unstorable, to_storable
from pgknowbase.core.transactions import is_aborted, read_only
from pgknowbase.errors import RenderError
from pgknowbase.keywords.language import language_of
from pgknowbase.relay.availability import check_columns
from pgknowbase.relay.hook_costs import LOADING, HookCosts, HookProfiler
from pgknowbase.relay.hook_reads import SAMPLED_ROWS, HookReads
from pgknowbase.relay.loading import load_rows
from pgknowbase.sources.declaration import SourceRow
from pgknowbase.sources.registry import Source

logger = logging.getLogger("pgknowbase.relay")

LONGEST_TITLE = 2000
# In UTF-8 less than the 2.7 kB that an entry of a GIN index can hold.
LONGEST_TAG = 600
LONGEST_ERROR = 2000
MAX_DEPTH = 100
ENCODER = DjangoJSONEncoder(ensure_ascii=False, allow_nan=False)
ADVICE = {
    LONGEST_TITLE: "return a shorter title, for it stands before each chunk",
    LONGEST_TAG: "return shorter tags, for each is indexed whole",
}
READ_ONLY_STATE = "25006"
NO_SAVEPOINT = nullcontext()


@dataclass
class Rendering:
    """What the hooks of some rows returned.

    ``records``: JSON texts by object key, in the order of the keys, as ``pgknowbase_apply_v1`` reads them.
    ``failures``: (object key, error) pairs. ``absent``: keys without a row. ``costs``: what the hooks cost.
    A key in none of them has a row that its hooks keep out of the index.
    """

    records: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    costs: HookCosts = field(default_factory=HookCosts)


class _TransactionAbortedError(Exception):
    """A hook's statement failed outside a savepoint: Postgres answers no further statement of the batch."""


def render_rows(source: Source, keys: Sequence[str], using: str) -> Rendering:
    """Load the rows of ``keys`` as they are committed, and render them. A row that cannot be loaded, or whose hook
    raises, fails alone.

    Savepoints would cost two statements per row, and hardly any hook fails in the database. So a batch is rendered
    without them, and rendered a second time with a savepoint around each row if a hook aborted the transaction.

    Raises:
        SourceUnavailableError: columns of the model are missing in the database.

    >>> rendering = render_rows(source_of(Article), ["1", "2"], "default")
    >>> rendering.records["1"], rendering.failures
    """
    try:
        return _render(source, keys, using, with_savepoints=False)
    except _TransactionAbortedError as error:
        logger.info("rendering %s with a savepoint around each row, after %s", source.label, error)
        return _render(source, keys, using, with_savepoints=True)


def _render(source: Source, keys: Sequence[str], using: str, *, with_savepoints: bool) -> Rendering:
    profiler = HookProfiler()
    rendering = Rendering(costs=profiler.costs)
    reads = HookReads(source, lambda: profiler.running)
    profiler.costs.unwatched = reads.unwatched
    profiler.on_statement = reads.statement
    renderer = Renderer(source, profiler, gateway.languages(using))

    def raise_if_for_all(concerned: Sequence[str], error: Exception) -> None:
        """Raise what is not the fault of one of these rows."""
        if is_lost(using):
            raise DatabaseError(f"the connection was closed by the server: {error}") from error
        if len(concerned) > 1 and exceeded_limit(error):
            raise error  # fewer at a time may be done
        if not with_savepoints and is_aborted(using):
            raise _TransactionAbortedError(describe(error)) from error
        check_columns(source, error, using)

    def load(some: Sequence[str]) -> None:
        """Load these rows; if that fails, by halves, until what cannot be loaded is alone, such as an endless date."""
        try:
            with _savepoint(using, profiler) if with_savepoints else NO_SAVEPOINT, profiler:
                profiler.enter(LOADING)
                found = load_rows(source, some, using)
        except Exception as error:  # noqa: BLE001 - a user's queryset may raise anything; the other models are not affected
            raise_if_for_all(some, error)
            if len(some) > 1 and not isinstance(error, RenderError):
                load(some[: len(some) // 2])
                load(some[len(some) // 2 :])
            else:
                rendering.failures += [(key, describe(error, profiler.hook)) for key in some]
        else:
            rows.update(found)
            rendering.absent += [key for key in some if key not in found]

    rows: dict[str, SourceRow] = {}
    with read_only(using), reads_from(using), profiler.profiling(using):
        load(keys)
        # In the order of the keys, in which all writers lock documents.
        for key, row in sorted(rows.items()):
            observed = reads.observed(row) if profiler.costs.rows < SAMPLED_ROWS else nullcontext()
            profiler.costs.rows += 1
            try:
                with _savepoint(using, profiler) if with_savepoints else NO_SAVEPOINT, profiler, observed:
                    record = renderer.record(key, row)
            except Exception as error:  # noqa: BLE001 - a user's hook may raise anything; it is recorded on the object
                raise_if_for_all([key], error)
                rendering.failures.append((key, describe(error, profiler.hook)))
            else:
                if record is not None:
                    rendering.records[key] = record
        if is_lost(using):  # and the hook caught the error
            raise DatabaseError("the connection was closed by the server") from profiler.database_error
        # Looked at once for all rows: what a hook aborted and hid by catching the error stays aborted.
        if not with_savepoints and is_aborted(using):
            raise _TransactionAbortedError(f"a failed query in {profiler.aborting_hook or 'a hook'}")
    return rendering


@contextmanager
def _savepoint(using: str, profiler: HookProfiler) -> Iterator[None]:
    """Around the hooks of one row: undoes a failed statement, and finds one whose error the hook caught."""
    with transaction.atomic(using=using):
        profiler.aborting_hook = ""
        yield
        if is_aborted(using):
            raise RenderError(
                f"{profiler.aborting_hook or 'a hook'}() caught the error of a failed query, after which Postgres"
                " answers no other: put the query into 'with transaction.atomic()'."
            )


def describe(error: BaseException, hook: str = "") -> str:
    """The error as it is kept on an object, with the hook that raised it."""
    try:
        said = str(error)
    except Exception as fault:  # noqa: BLE001 - the error's own __str__ may be broken
        said = f"its text cannot be made, {type(fault).__name__}"
    said = said.strip()[:LONGEST_ERROR]
    if not isinstance(error, RenderError):
        said = f"{type(error).__name__}: {said}"
        if hook:
            said += f" (in {hook})"
        if getattr(error.__cause__, "sqlstate", None) == READ_ONLY_STATE:
            said += "; hooks only read: write elsewhere, such as in a receiver of external_data_synced."
        elif limit := exceeded_limit(error):
            said += f"; let it take less, or raise {limit} for this role."
    return to_storable(said)


class Renderer:
    """Makes the record of a row: the JSON text that ``pgknowbase_apply_v1`` reads.

    Args:
        profiler: is told which hook runs.
        languages: the text search configurations of the database.
    """

    def __init__(self, source: Source, profiler: HookProfiler, languages: frozenset[str]) -> None:
        settings = get_settings()
        self.profiler = profiler
        self.languages = languages
        self.default_language = settings.search.language
        self.longest = settings.worker.max_document_characters
        self._owner_steps = source.owner_path.split("__") if source.owner_path else []
        config = source.config
        constant = {
            "is_public": config.is_public,
            "similarity_threshold": config.similarity_threshold,
            "source_type": config.source_type,
        }
        self._constant = ENCODER.encode(constant)[1:]

    def record(self, key: str, row: SourceRow) -> str | None:
        """The record of ``row``, whose object key is ``key``, or None where its hooks keep it out of the index.

        Raises:
            RenderError: a hook returned a value of the wrong type or size, or one that Postgres cannot store.
        """
        enter = self.profiler.enter
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
        self.profiler.leave()
        language = declared or language_of(f"{title}\n{content}", self.languages)
        # The words depend on a declared language, so it belongs to the hash. The lengths keep a text that moves from
        # one part to the next from looking the same.
        digest = hashlib.sha256(f"{len(title)},{len(content)},{title}{content}{declared}".encode()).hexdigest()
        # Faster than a dict and an encoder of it.
        return (
            f'{{"object_key": {quoted(key)}, "title": {quoted(title)},'
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
        language: Any = row.get_external_language() or self.default_language
        if language != "" and language not in self.languages:
            raise RenderError(
                f"get_external_language() returned {language!r}, which is not a text search configuration of this"
                f" database: return '' or one of {', '.join(sorted(self.languages))}."
            )
        return str(language)

    def _json(self, metadata: dict[str, Any]) -> str:
        if not metadata:
            return "{}"
        try:
            text = ENCODER.encode(metadata)
        except (TypeError, ValueError) as error:
            raise RenderError(
                f"get_external_metadata() returned something other than JSON ({error}): return JSON values."
            ) from error
        _bounded("get_external_metadata", len(text), self.longest)
        return _storable("get_external_metadata", text)


def quoted(text: str) -> str:
    """``text`` as JSON. Usual texts take half the time of ``encode_basestring``, which looks at each character."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"' if escaped.isprintable() else encode_basestring(text)


def _wanted(row: SourceRow) -> bool:
    answer: Any = row.should_sync_to_external_data()
    if not isinstance(answer, bool):
        raise RenderError(f"should_sync_to_external_data() returned {_kind(answer)}: return True or False.")
    return answer


def _tags(row: SourceRow, longest: int) -> list[str]:
    hook = "get_external_tags"
    returned: Any = row.get_external_tags()
    if type(returned) is list and not returned:  # most rows have none
        return []
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
    """Refuse what JSON or Postgres would refuse later, or change silently."""
    if isinstance(value, str):
        _storable("get_external_metadata", value)
    elif isinstance(value, dict | list | tuple):
        if depth > MAX_DEPTH:
            raise RenderError(f"get_external_metadata() is nested more than {MAX_DEPTH} deep: return flatter JSON.")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise RenderError(f"get_external_metadata() has the key {key!r}, which is not a text: use texts.")
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
    if fault := find_unstorable(value):
        raise RenderError(f"{hook}() returned a text with {fault}, which Postgres cannot store: remove it.")
    return str(value)


def _bounded(hook: str, length: int, longest: int) -> None:
    if length > longest:
        advice = ADVICE.get(longest, "return less, or raise WORKER['MAX_DOCUMENT_CHARACTERS'] in settings.PGKNOWBASE")
        raise RenderError(f"{hook}() returned {length:,} characters, and {longest:,} are allowed: {advice}.")


def _kind(value: Any) -> str:
    return repr(type(value).__name__)
