"""The JSON of the embedding server: what it accepts, what it answers."""

import base64
import json
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from pgknowbase.embeddings.base import Embedder, Vector
from pgknowbase.embeddings.validation import shorten, split_batches


class Limits(Protocol):
    """The part of ``ServerLimits`` that concerns the JSON."""

    @property
    def max_texts(self) -> int:
        """Texts of one request."""


class RequestError(Exception):
    """A request that is answered with an error; the message ends with what the client should do."""

    def __init__(self, status: HTTPStatus, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A request that was found good."""

    model: str
    texts: Sequence[str]
    base64: bool


def parse_request(body: bytes, *, names: Sequence[str], dimensions: int, limits: Limits) -> EmbeddingRequest:
    """Check the body of ``POST /v1/embeddings``; fields that mean nothing here (``user``) are passed over.

    Raises:
        RequestError: names the field at fault.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad(f"The body is not JSON ({shorten(str(error))}): send a JSON object.") from error
    if not isinstance(data, dict):
        raise _bad(f"The body is of type {type(data).__name__!r}: send a JSON object.")
    model = data.get("model")
    if not isinstance(model, str):
        raise _bad(f"'model' is missing or not a string: send one of {list(names)!r}.", "model")
    if model not in names:
        message = f"The model {shorten(model)!r} is not served: ask for one of {list(names)!r}."
        raise RequestError(HTTPStatus.NOT_FOUND, message, param="model", code="model_not_found")
    wanted = data.get("dimensions")
    if wanted is not None and (type(wanted) is not int or wanted != dimensions):
        raise _bad(f"{model!r} has {dimensions} dimensions, not {shorten(repr(wanted))}: leave it out.", "dimensions")
    form = data.get("encoding_format")
    if form not in (None, "float", "base64"):
        raise _bad(f"encoding_format {shorten(repr(form))} is unknown: use 'float' or 'base64'.", "encoding_format")
    return EmbeddingRequest(model, _texts(data.get("input"), limits), form == "base64")


def embeddings_answer(request: EmbeddingRequest, embedder: Embedder) -> dict[str, Any]:
    """Embed the texts, as many at a time as the embedder takes, and build OpenAI's answer.

    ``usage`` counts 0 tokens where the embedder does not know them. Raises as ``Embedder.embed_documents``.
    """
    vectors: list[Vector] = []
    tokens = 0
    for batch in split_batches(request.texts, embedder.limits):
        embeddings = embedder.embed_documents(batch)
        vectors.extend(embeddings.vectors)
        tokens += sum(embeddings.tokens or ())
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _base64(vector) if request.base64 else list(vector),
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": request.model, "data": data, "usage": usage}


def _texts(value: object, limits: Limits) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise _bad("'input' is missing or empty: send a string or a list of strings.", "input")
    if len(texts) > limits.max_texts:
        raise _bad(f"'input' has {len(texts)} texts: send at most {limits.max_texts}.", "input")
    for position, text in enumerate(texts):
        if isinstance(text, int | list):
            raise _bad("'input' holds token ids, which differ from model to model: send strings.", "input")
        if not isinstance(text, str) or not text or text.isspace():
            raise _bad(f"'input[{position}]' is empty or not a string: leave it out.", "input")
    return texts


def _base64(vector: Vector) -> str:
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _bad(message: str, param: str | None = None) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, message, param=param)
