"""What embedding will cost, before anything is sent: rows are rendered and split, and their texts are counted."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel, ConfigDict

from pgknowbase.conf import SpaceSettings, get_settings
from pgknowbase.core import gateway
from pgknowbase.core.commands import as_json, as_table
from pgknowbase.core.transactions import read_committed
from pgknowbase.costs.calls import CHARACTERS_PER_TOKEN
from pgknowbase.costs.prices import embedding_price
from pgknowbase.embeddings import get_embedder
from pgknowbase.embeddings.base import Embedder, split_batches
from pgknowbase.models import EmbeddingSpace
from pgknowbase.relay.rendering import render_rows
from pgknowbase.search.servers_down import whole_answer
from pgknowbase.sources.registry import Source
from pgknowbase.spaces.specification import SpaceSpec, known_embedding, matching_space
from pgknowbase.sync.backfill import row_keys
from pgknowbase.vectorizer.chunking import Splitter, plan_chunks, splitter_of
from pgknowbase.vectorizer.kept_vectors import KeptVectors
from pgknowbase.vectorizer.model_check import known_fingerprints

# Documents that are split at a time.
PAGE = 200

Document = tuple[int, str, str, str]  # source, object key, title, content
Progress = Callable[[int], object]


class Estimate(BaseModel):
    """What embedding some rows will use, and what that costs.

    Attributes:
        rows: that were, or with a sample would be, rendered; ``failed`` of them could not be.
        sampled: rows that were looked at in their place; all other figures are scaled up from these. 0: all rows.
        chunks: of all documents; ``reused`` of them have their vectors, ``duplicates`` have the text of another one.
        texts, characters, tokens, calls: that will be sent.
        basis: where ``tokens`` come from: 'tokenizer' of the model, 'ledger' (tokens for a character of this model so
            far) or 'about' (four characters for a token).
        cost: US dollars, null where the price is unknown.
        seconds: at the rate of earlier calls to this model, null where there were none.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    rows: int = 0
    failed: int = 0
    sampled: int = 0
    chunks: int = 0
    reused: int = 0
    duplicates: int = 0
    texts: int = 0
    characters: int = 0
    tokens: int = 0
    basis: str = "about"
    calls: int = 0
    cost: Decimal | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Rates:
    """What the ledger knows of a model: tokens for a character, and seconds of calls for a text."""

    tokens: float | None
    seconds: float | None

    @classmethod
    def of(cls, using: str, embedder: Embedder) -> "_Rates":
        ((tokens, seconds),) = gateway.fetch(using, "usage_rates", provider=embedder.provider, model=embedder.model)
        return cls(tokens, seconds)


@dataclass
class _Counter:
    """Counts the texts of documents that a call would have to embed, each once."""

    using: str
    embedder: Embedder
    splitter: Splitter
    kept: list[KeptVectors]
    # None for a space that does not exist yet: no document has chunks in it.
    space: EmbeddingSpace | None
    force: bool = False
    chunks: int = 0
    reused: int = 0
    duplicates: int = 0
    texts: int = 0
    characters: int = 0
    counted_tokens: int = 0
    calls: int = 0
    _seen: set[bytes] = field(default_factory=set)
    _stored: dict[tuple[int, str], dict[int, str]] = field(default_factory=dict)

    @property
    def has_tokenizer(self) -> bool:
        """Whether the tokens are those of the model's own tokenizer."""
        return self.embedder.max_tokens is not None

    def count(self, documents: Sequence[Document]) -> None:
        """Count one page of documents."""
        wanted = {(source, key): self.splitter.split(source, key, *texts) for source, key, *texts in documents}
        self.chunks += sum(map(len, wanted.values()))
        missing = [text for document, texts in wanted.items() for text in self._missing(document, texts)]
        self.reused += sum(map(len, wanted.values())) - len(missing)
        fresh = []
        for text in missing:
            digest = blake2b(text.encode(), digest_size=12).digest()
            if digest in self._seen:
                self.duplicates += 1
            else:
                self._seen.add(digest)
                fresh.append(text)
        found: set[str] = set()
        for kept in () if self.force else self.kept:
            found |= kept.find(text for text in fresh if text not in found).keys()
        self.reused += len(found)
        sent = sorted((text for text in fresh if text not in found), key=len)
        self.texts += len(sent)
        self.characters += sum(map(len, sent))
        for batch in split_batches(sent, self.embedder.limits):
            self.calls += 1
            if self.has_tokenizer:
                self.counted_tokens += sum(self.embedder.count_tokens(batch))

    def look_up(self, documents: Iterable[Document]) -> None:
        """Read the chunks that these documents have in the space."""
        self._stored = {}
        if self.space is None or self.force:
            return
        keys = [(source, key) for source, key, *_ in documents]
        rows = gateway.fetch(
            self.using,
            "chunks",
            vectorizer=self.space.vectorizer_id,
            sources=[source for source, _ in keys],
            ids=[key for _, key in keys],
        )
        for source, key, seq, text, reusable in rows:
            if reusable:
                self._stored.setdefault((source, key), {})[seq] = text

    def _missing(self, document: tuple[int, str], texts: Sequence[str]) -> list[str]:
        return [text for _, text in plan_chunks(texts, self._stored.get(document, {})).missing]

    def estimate(self, name: str, *, rows: int, looked_at: int, failed: int) -> Estimate:
        """The figures, scaled up where a sample was looked at."""
        factor = rows / looked_at if looked_at else 1.0
        rates = _Rates.of(self.using, self.embedder)
        if self.has_tokenizer:
            tokens, basis = float(self.counted_tokens), "tokenizer"
        elif rates.tokens is not None:
            tokens, basis = self.characters * rates.tokens, "ledger"
        else:
            tokens, basis = self.characters / CHARACTERS_PER_TOKEN, "about"
        total = round(tokens * factor)
        price = embedding_price(self.embedder.model, self.embedder.provider)
        concurrency = get_settings().worker.concurrency
        return Estimate(
            name=name,
            rows=rows,
            failed=round(failed * factor),
            sampled=0 if looked_at == rows else looked_at,
            chunks=round(self.chunks * factor),
            reused=round(self.reused * factor),
            duplicates=round(self.duplicates * factor),
            texts=round(self.texts * factor),
            characters=round(self.characters * factor),
            tokens=total,
            basis=basis,
            calls=round(self.calls * factor),
            cost=None if price is None else price * total,
            seconds=None if rates.seconds is None else rates.seconds * self.texts * factor / concurrency,
        )


def _kept_vectors(using: str, embedder: Embedder, space: EmbeddingSpace) -> list[KeptVectors]:
    return [
        KeptVectors(using, embedder, space, fingerprint=fingerprint, max_vectors=0)
        for fingerprint in known_fingerprints(using, embedder)
    ]


def estimate_sync(
    source: Source,
    using: str,
    *,
    sample: int | None = None,
    force: bool = False,
    progress: Progress = lambda rows: None,
) -> Estimate:
    """What a sync of a model would cost in the active space. Renders as the relay does; writes and sends nothing.

    Args:
        sample: the number of rows that are rendered; by default all.
        force: as if every chunk were embedded again.

    Raises:
        SpaceMismatchError: there is no active space, or no embedder for it.
    """
    space = matching_space(using)
    embedder = get_embedder(known_embedding(space))
    splitter = splitter_of(
        gateway.fetch_value(using, "vectorizer_configuration", vectorizer=space.vectorizer_id), embedder
    )
    counter = _Counter(using, embedder, splitter, _kept_vectors(using, embedder, space), space, force)
    source_id = source.content_type_id(using)
    keys = [key for page in row_keys(source, using, 5000) for key in page]
    chosen = keys if sample is None or sample >= len(keys) else _sampled(keys, sample)
    failed = 0
    for start in range(0, len(chosen), PAGE):
        page = chosen[start : start + PAGE]
        with read_committed(using):
            rendering = render_rows(source, page, using)
        failed += len(rendering.failures)
        records = {key: json.loads(record) for key, record in rendering.records.items()}
        documents = [(source_id, key, each["title"], each["content"]) for key, each in records.items()]
        counter.look_up(documents)
        counter.count(documents)
        progress(len(page))
    return counter.estimate(source.label, rows=len(keys), looked_at=len(chosen), failed=failed)


def estimate_space(
    using: str, name: str, wanted: SpaceSettings, *, sample: int | None = None, progress: Progress = lambda rows: None
) -> Estimate:
    """What filling a space with these settings would cost, by the documents that are there. Creates and sends nothing.

    Args:
        sample: the number of documents that are split; by default all.

    Raises:
        SpaceMismatchError: there is no active space.
    """
    embedder = get_embedder(wanted.embedding)
    splitter = _splitter_for(using, wanted, embedder)
    space = EmbeddingSpace(name=name, storage=wanted.storage)
    counter = _Counter(using, embedder, splitter, _kept_vectors(using, embedder, space), None)
    rows: int = gateway.fetch_value(using, "document_count")
    looked_at = 0
    for documents in _documents(using, sample if sample is not None and sample < rows else None):
        counter.look_up(documents)
        counter.count(documents)
        looked_at += len(documents)
        progress(len(documents))
    return counter.estimate(name, rows=max(rows, looked_at), looked_at=looked_at, failed=0)


def total(estimates: Sequence[Estimate]) -> Estimate:
    """The sum of estimates of one space. Unknown where a part is."""
    costs = [each.cost for each in estimates]
    seconds = [each.seconds for each in estimates]
    figures = ("rows", "failed", "sampled", "chunks", "reused", "duplicates", "texts", "characters", "tokens", "calls")
    return Estimate(
        name="total",
        **{name: sum(getattr(each, name) for each in estimates) for name in figures},
        basis=estimates[0].basis if estimates else "about",
        cost=sum((cost for cost in costs if cost is not None), Decimal(0)) if None not in costs else None,
        seconds=sum(each for each in seconds if each is not None) if None not in seconds else None,
    )


def _sampled(keys: Sequence[str], sample: int) -> list[str]:
    """The same rows each time, in their order."""
    drawn = random.Random(0).sample(range(len(keys)), sample)  # noqa: S311 - a sample
    return [keys[place] for place in sorted(drawn)]


def _documents(using: str, sample: int | None) -> Iterator[list[Document]]:
    so = "texts cannot be read"
    if sample is not None:
        rows = whole_answer(using, lambda: gateway.fetch(using, "documents_sample", limit=sample), so=so)
        yield from (rows[start : start + PAGE] for start in range(0, len(rows), PAGE))
        return
    source, key = -1, ""

    def next_page() -> list[Document]:
        return gateway.fetch(using, "documents_page", after_source=source, after_key=key, limit=PAGE)

    while page := whole_answer(using, next_page, so=so):
        yield page
        source, key, *_ = page[-1]


def _splitter_for(using: str, wanted: SpaceSettings, embedder: Embedder) -> Splitter:
    """The splitter of a space that does not exist yet: that of the active one, with the parts that differ."""
    active = matching_space(using)
    row = json.loads(gateway.fetch_value(using, "vectorizer_configuration", vectorizer=active.vectorizer_id))
    row["config"]["chunking"] = json.loads(
        gateway.fetch_value(
            using,
            "chunking",
            splitter=SpaceSpec.from_settings(wanted).splitter,
            chunk_size=wanted.chunk_size,
            chunk_overlap=wanted.chunk_overlap,
        )
    )
    row["config"]["formatting"]["template"] = wanted.template
    return splitter_of(json.dumps(row), embedder)


COLUMNS = ("rows", "chunks", "reused", "duplicates", "texts", "tokens", "calls")


def write_estimates(stdout: Any, estimates: Sequence[Estimate], format: str) -> None:
    """Write estimates as a table for people, or as JSON."""
    if format == "json":
        stdout.write(as_json([each.model_dump() for each in estimates]))
        return
    shown = [*estimates, total(estimates)] if len(estimates) > 1 else estimates
    rows = [[each.name, *(getattr(each, name) for name in COLUMNS), _money(each), _time(each)] for each in shown]
    stdout.write(as_table(["name", *COLUMNS, "cost", "time"], rows))
    last = shown[-1] if shown else Estimate(name="")
    about = {
        "tokenizer": "Tokens are counted by the model's tokenizer.",
        "ledger": "Tokens are those for a character that this model has used so far.",
        "about": f"Tokens are a guess, one for {CHARACTERS_PER_TOKEN} characters: this model has embedded nothing yet.",
    }
    stdout.write(f"\n{about[last.basis]} Nothing was sent.")
    if last.sampled:
        stdout.write(f"Scaled up from {last.sampled:,} of {last.rows:,} rows.")
    if last.failed:
        stdout.write(f"{last.failed:,} rows could not be rendered.")


def _money(estimate: Estimate) -> str:
    about = "about " if estimate.basis == "about" else ""
    return "unknown" if estimate.cost is None else f"{about}${estimate.cost:,.4f}"


def _time(estimate: Estimate) -> str:
    return "unknown" if estimate.seconds is None else str(timedelta(seconds=round(estimate.seconds)))
