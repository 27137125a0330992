"""Copying: the rows of a vectorizer's table become documents, its vectors their chunks where the text is the same."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import models, transaction

from pgknowbase.adoption.vectorizers import PgaiVectorizer
from pgknowbase.core import gateway
from pgknowbase.core.keys import key_fields, parse_key
from pgknowbase.core.pgai import load_vectorizer
from pgknowbase.core.transactions import as_backfill, read_committed
from pgknowbase.embeddings import get_embedder
from pgknowbase.models import EmbeddingSpace
from pgknowbase.relay.relay import sync_objects
from pgknowbase.relay.writing import SyncReport
from pgknowbase.search.servers_down import whole_answer
from pgknowbase.sources.registry import Source
from pgknowbase.spaces.specification import known_embedding
from pgknowbase.sync.backfill import row_keys
from pgknowbase.vectorizer.chunking import ChunkPlan, Splitter, document_digest, plan_chunks, splitter_of

BATCH_SIZE = 500

# Why chunks are to be embedded.
WAITING = "the row waits in pgai's queue"
MISSING = "pgai has not embedded the row"
OTHER_TEXT = "pgai embedded another text"
MEANWHILE = "pgai embedded the row again meanwhile"


@dataclass
class AdoptionReport:
    """What became of the rows and their chunks.

    Attributes:
        rows: as the relay reports them; a row that its hooks keep out of the index is in none of its figures.
        complete: documents all of whose chunks have vectors.
        kept: chunks that got a vector of pgai's.
        present: chunks that had one before.
        to_embed: chunks that a worker embeds, by reason.
        example: of a row whose texts differ, its key, pgai's first text and ours; None where there is none.
    """

    rows: SyncReport = field(default_factory=SyncReport)
    documents: int = 0
    complete: int = 0
    kept: int = 0
    present: int = 0
    to_embed: Counter[str] = field(default_factory=Counter)
    example: tuple[str, str, str] | None = None

    @property
    def differs(self) -> bool:
        """Whether most texts are other ones than pgai's: then a hook or a setting is wrong."""
        return self.to_embed[OTHER_TEXT] > self.kept + self.present


@dataclass
class Stored:
    """What pgai has of a row: texts by place, the versions of what holds them, whether the row waits in its queue."""

    texts: dict[int, str] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)
    waits: bool = False


@dataclass
class Copy:
    """A chunk to copy: its document, the place of its row, where it stands there and here, and its text."""

    key: str
    place: int
    old: int
    version: str
    new: int
    text: str


class Copier:
    """Brings the rows of a vectorizer's table into the index, batch by batch, with the vectors that pgai has of them.

    Each batch is one transaction, so a worker sees of a document that is complete neither a wait nor a gap.

    Args:
        space: gets the vectors.
        trust: keep a vector also where pgai's text was another, or is not known to be the same: by its place among the
            chunks of a row that has not changed since, if there are as many.
        with_vectors: False only brings in the rows: the vectors are those of another model.
    """

    def __init__(
        self,
        using: str,
        vectorizer: PgaiVectorizer,
        source: Source,
        space: EmbeddingSpace,
        *,
        trust: bool = False,
        with_vectors: bool = True,
    ) -> None:
        self.using, self.vectorizer, self.source, self.space = using, vectorizer, source, space
        self.trust, self.with_vectors = trust, with_vectors
        self.source_id = source.content_type_id(using)
        self.splitter: Splitter = splitter_of(
            gateway.fetch_value(using, "vectorizer_configuration", vectorizer=space.vectorizer_id),
            get_embedder(known_embedding(space)),
        )
        # pgai's own classes make the texts of which it stores none.
        self.pgai = load_vectorizer(gateway.fetch_value(using, "vectorizer_configuration", vectorizer=vectorizer.id))

    def run(
        self,
        *,
        dry_run: bool = False,
        check: Callable[[AdoptionReport], object] = lambda report: None,
        progress: Callable[[int], object] = lambda rows: None,
    ) -> AdoptionReport:
        """Bring in all rows.

        Args:
            dry_run: do each batch, and roll it back.
            check: called with the report before each batch is committed; what it raises rolls the batch back.
            progress: called with the number of rows of each.
        """
        report = AdoptionReport()
        for keys in row_keys(self.source, self.using, BATCH_SIZE):
            with read_committed(self.using):
                with as_backfill(self.using):
                    self._copy(keys, report)
                check(report)
                if dry_run:
                    transaction.set_rollback(True, using=self.using)
            progress(len(keys))
        return report

    def _copy(self, keys: Sequence[str], report: AdoptionReport) -> None:
        # The documents are locked before the external data, as everybody does, also those that the relay leaves alone.
        gateway.fetch(self.using, "lock_objects", source=self.source_id, object_keys=list(keys))
        gateway.fetch(self.using, "lock_documents", source=self.source_id, object_keys=list(keys))
        report.rows.add(sync_objects(self.source, keys, self.using))
        rows = json.dumps([_key_columns(self.source.model, key) for key in keys])
        documents = whole_answer(
            self.using,
            lambda: gateway.fetch(self.using, "document_texts", source=self.source_id, ids=list(keys)),
            so="texts cannot be read",
        )
        stored = self._stored(keys, rows)
        present = self._present([key for key, *_ in documents])
        places = {key: place for place, key in enumerate(keys, 1)}
        plans: dict[str, ChunkPlan] = {}
        digests: dict[str, str] = {}
        copies: list[Copy] = []
        complete: list[str] = []
        for key, title, content in documents:
            digests[key] = document_digest(title, content)
            wanted = self.splitter.split(self.source_id, key, title, content)
            plan = plans[key] = plan_chunks(wanted, present[key])
            row = stored[key]
            found = [
                Copy(key, places[key], old, row.versions[old], new, text)
                for old, new, text in self._match(plan, wanted, row)
            ]
            copies += found
            missing = len(plan.missing) - len(found)
            report.present += len(plan.kept)
            if missing:
                reason = _reason(row)
                report.to_embed[reason] += missing
                if reason == OTHER_TEXT and report.example is None:
                    report.example = (key, row.texts[min(row.texts)], plan.missing[0][1])
            else:
                complete.append(key)
        report.documents += len(documents)
        self._write(rows, plans, digests, copies, complete, report)

    def _stored(self, keys: Sequence[str], rows: str) -> dict[str, Stored]:
        stored: dict[str, Stored] = defaultdict(Stored)
        if not self.with_vectors:
            return stored
        for place, waits, seq, text, columns, version in gateway.fetch(
            self.using, "pgai_chunks", vectorizer=self.vectorizer.id, rows=rows
        ):
            row = stored[keys[place - 1]]
            row.waits = waits
            row.versions[seq] = version
            if text is not None:
                row.texts[seq] = text
            elif columns is not None and not waits:  # the embedding is that of the row as it is
                row.texts[seq] = self._text(json.loads(columns, parse_float=Decimal))
        return stored

    def _text(self, row: dict[str, Any]) -> str:
        """What pgai sent of a row that is one chunk."""
        config = self.pgai.config
        return str(config.formatting.format(row[self.vectorizer.loading_column] or "", row))

    def _present(self, keys: Sequence[str]) -> dict[str, dict[int, str]]:
        present: dict[str, dict[int, str]] = defaultdict(dict)
        rows = gateway.fetch(
            self.using,
            "chunks",
            vectorizer=self.space.vectorizer_id,
            sources=[self.source_id] * len(keys),
            ids=list(keys),
        )
        for _, key, seq, text, reusable in rows:
            if reusable:
                present[key][seq] = text
        return present

    def _match(self, plan: ChunkPlan, wanted: Sequence[str], stored: Stored) -> list[tuple[int, int, str]]:
        """The missing chunks that pgai has, as (place there, place here, text)."""
        by_text = {text: old for old, text in sorted(stored.texts.items(), reverse=True)}
        trusted = self.trust and not stored.waits and sorted(stored.texts) == list(range(len(wanted)))
        found = []
        for new, text in plan.missing:
            if text in by_text:
                found.append((by_text[text], new, text))
            elif trusted:
                found.append((new, new, text))
        return found

    def _write(
        self,
        rows: str,
        plans: dict[str, ChunkPlan],
        digests: dict[str, str],
        copies: Sequence[Copy],
        complete: Sequence[str],
        report: AdoptionReport,
    ) -> None:
        touched = sorted({copy.key for copy in copies} | set(complete))
        kept = [(key, chunk) for key in touched for chunk in plans[key].kept]
        states = gateway.fetch(
            self.using,
            "store_open",
            vectorizer=self.space.vectorizer_id,
            sources=[self.source_id] * len(touched),
            ids=touched,
            digests=[digests[key] for key in touched],
            kept_sources=[self.source_id] * len(kept),
            kept_ids=[key for key, _ in kept],
            kept_old=[chunk.old for _, chunk in kept],
            kept_new=[chunk.new for _, chunk in kept],
            kept_digests=[chunk.digest for _, chunk in kept],
        )
        # Another worker is writing the others at this moment.
        opened = {key for _, key, state in states if state == "open"}
        wanted = [copy for copy in copies if copy.key in opened]
        copied = set(
            gateway.fetch(
                self.using,
                "pgai_copy",
                vectorizer=self.vectorizer.id,
                space=self.space.pk,
                source=self.source_id,
                rows=rows,
                ids=[copy.key for copy in wanted],
                places=[copy.place for copy in wanted],
                olds=[copy.old for copy in wanted],
                versions=[copy.version for copy in wanted],
                news=[copy.new for copy in wanted],
                chunks=[copy.text for copy in wanted],
            )
            if wanted
            else ()
        )
        report.kept += len(copied)
        lost = [copy.key for copy in copies if (copy.key, copy.new) not in copied]
        report.to_embed += Counter({MEANWHILE: len(lost)})
        done = sorted(opened.intersection(complete).difference(lost))
        report.complete += len(done)
        gateway.fetch(self.using, "queue_done", vectorizer=self.space.vectorizer_id, source=self.source_id, ids=done)
        gateway.fetch(
            self.using,
            "store_close",
            vectorizer=self.space.vectorizer_id,
            items=[],
            lease=None,
            sources=[self.source_id] * len(done),
            ids=done,
        )


def _reason(stored: Stored) -> str:
    if stored.waits:
        return WAITING
    return OTHER_TEXT if stored.texts else MISSING


def _key_columns(model: type[models.Model], key: str) -> dict[str, Any]:
    """The primary key of a row by column, as JSON that Postgres reads back."""
    value = parse_key(model, key)
    fields = key_fields(model)
    values = value if isinstance(model._meta.pk, models.CompositePrimaryKey) else (value,)
    return {field.column: _as_json(part) for field, part in zip(fields, values, strict=True)}


def _as_json(value: Any) -> Any:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    if isinstance(value, bytes | memoryview):
        return f"\\x{bytes(value).hex()}"
    return str(value)
