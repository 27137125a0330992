"""Vectors of a caller's texts, by the model of the active space: what they cost is reserved, counted and capped."""

import base64
import struct
import time
from collections.abc import Sequence

from django.utils.timezone import now

from pgknowbase.api.problems import Problem
from pgknowbase.conf import get_settings
from pgknowbase.costs.calls import Call, UsageKind
from pgknowbase.costs.caps import Caps, Demand
from pgknowbase.costs.ledger import record_texts
from pgknowbase.costs.prices import embedding_price
from pgknowbase.costs.tenants import Spender, tenant_of
from pgknowbase.embeddings.base import Embedder, Embeddings, Vector, check_texts, split_batches
from pgknowbase.embeddings.serving import active_embedder
from pgknowbase.errors import EmbeddingError, PermanentEmbeddingError
from pgknowbase.openai.errors import refuse
from pgknowbase.openai.schemas import EmbeddedText, VectorsRequest, VectorsResponse, VectorsUsage

# In the place of a document's key: these texts have none.
DOCUMENT = (0, "")


def embed(asked: VectorsRequest, user_id: object) -> VectorsResponse:
    """The vectors that are asked for.

    Raises:
        Problem: 404 for another model, 400 for texts that no model embeds, 429 where a cap is reached.
        EmbeddingError: the provider failed.
    """
    space, embedder = active_embedder(get_settings().database)
    if asked.model not in (embedder.model, space.name):
        detail = f"The model {asked.model!r} does not embed here: ask for {embedder.model!r}."
        raise refuse(detail, "/model", status=404, kind="model-not-found")
    if asked.dimensions not in (None, embedder.dimensions):
        raise refuse(f"{embedder.model!r} has {embedder.dimensions} dimensions: leave it out.", "/dimensions")
    try:
        for batch in split_batches(asked.input, embedder.limits):
            check_texts(batch, embedder.limits)
    except PermanentEmbeddingError as error:
        raise refuse(str(error), "/input") from error
    vectors, calls = _embed_within_caps(asked, space.name, embedder, tenant_of(Spender(str(user_id))))
    tokens = sum(call.billed_tokens for call in calls)
    price = embedding_price(embedder.model, embedder.provider)
    return VectorsResponse(
        data=[
            EmbeddedText(index=number, embedding=_encoded(vector, asked.encoding_format))
            for number, vector in enumerate(vectors)
        ],
        model=embedder.model,
        usage=VectorsUsage(
            prompt_tokens=tokens, total_tokens=tokens, cost=None if price is None else float(price * tokens)
        ),
    )


def _embed_within_caps(
    asked: VectorsRequest, space: str, embedder: Embedder, tenant: str
) -> tuple[list[Vector], list[Call]]:
    using = get_settings().database
    caps = Caps(using, embedder, space, background=False)
    reserved = caps.reserve([Demand(DOCUMENT, tenant, sum(map(len, asked.input)), backfill=False)])
    if refusal := reserved.refused.get(DOCUMENT):
        raise _over_cap(refusal.until)
    vectors: list[Vector] = []
    calls: list[Call] = []
    try:
        for batch in split_batches(asked.input, embedder.limits):
            made = _called(embedder, batch, calls, query=asked.input_type == "query")
            vectors += made.vectors
    finally:
        # Also what was paid for before a later call failed.
        record_texts(using, embedder, calls, kind=UsageKind.EMBEDDING, space=space, tenant=tenant)
        caps.release(reserved)
    return vectors, calls


def _called(embedder: Embedder, batch: Sequence[str], calls: list[Call], *, query: bool) -> Embeddings:
    began = time.monotonic()
    try:
        if query:
            return _queries(embedder, batch, calls)
        made = embedder.embed_documents(batch)
    except EmbeddingError as error:
        seconds = time.monotonic() - began
        calls.append(Call(batch, total_tokens=error.billed_tokens, failed=True, seconds=seconds))
        raise
    calls.append(Call(batch, made.tokens, made.total_tokens, seconds=time.monotonic() - began))
    return made


def _queries(embedder: Embedder, batch: Sequence[str], calls: list[Call]) -> Embeddings:
    vectors: list[Vector] = []
    for text in batch:
        began = time.monotonic()
        made = embedder.embed_query_with_usage(text)
        calls.append(Call([text], made.tokens, made.total_tokens, seconds=time.monotonic() - began))
        vectors += made.vectors
    return Embeddings(vectors)


def _over_cap(until: object) -> Problem:
    # How much was used is for those who see the costs.
    headers = {}
    if until is not None:
        headers["Retry-After"] = str(max(1, int((until - now()).total_seconds()) + 1))  # type: ignore[operator]
    detail = "What embedding may cost is used up: wait for the next day or month, or ask an administrator."
    return Problem(429, "budget", detail, headers=headers)


def _encoded(vector: Vector, encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return list(map(float, vector))
