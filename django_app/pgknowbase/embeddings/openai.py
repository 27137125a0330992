"""Any server that speaks OpenAI's ``POST /embeddings``: OpenAI, vLLM, TEI, Ollama, LM Studio, our own."""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx2

from pgknowbase.embeddings.base import BatchLimits, Embedder, Embeddings, Vector
from pgknowbase.embeddings.openai_response import parse_embeddings, parse_retry_after, provider_message
from pgknowbase.embeddings.validation import check_texts, check_vectors
from pgknowbase.errors import (
    ConfigurationError,
    EmbeddingSetupError,
    PermanentEmbeddingError,
    RetryableEmbeddingError,
)

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
ENCODING_FORMATS: Final = ("float", "base64")

_RETRYABLE: Final = frozenset({408, 409, 425, 429})
_BYTES_PER_NUMBER: Final = 64  # indented JSON of a double, generously
_BYTES_BESIDE: Final = 2**20


class OpenAIEmbedder(Embedder):
    """Embeds over HTTP. One connection pool is shared by all threads; nothing is retried here.

    Args:
        model: the model's name, as the server knows it.
        dimensions: the length of its vectors.
        base_url: default ``OPENAI_BASE_URL``, else OpenAI's own; ``/embeddings`` is added.
        api_key_env: the environment variable that holds the key, read at each call; None sends no key.
        timeout: seconds that one call may take.
        max_texts: texts of one call.
        max_characters: characters of one call.
        send_dimensions: whether to ask the server for ``dimensions``; default only for ``text-embedding-3*``.
        query_prefix: put before each query, for models trained so (``"query: "``).
        document_prefix: put before each document.
        encoding_format: ``"float"``, or ``"base64"`` (less traffic); either answer is understood.

    Raises:
        ConfigurationError: an argument is wrong. A missing key shows at the first call.
    """

    def __init__(
        self,
        *,
        model: str,
        dimensions: int,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        timeout: float = 30.0,
        max_texts: int = 256,
        max_characters: int = 200_000,
        send_dimensions: bool | None = None,
        query_prefix: str = "",
        document_prefix: str = "",
        encoding_format: str = "base64",
    ) -> None:
        for name, value in (
            ("timeout", timeout),
            ("max_texts", max_texts),
            ("max_characters", max_characters),
        ):
            if not isinstance(value, int | float) or not value > 0:
                raise ConfigurationError(f"{name.upper()} is {value!r}: set a number above 0.")
        if encoding_format not in ENCODING_FORMATS:
            raise ConfigurationError(
                f"ENCODING_FORMAT {encoding_format!r} is unknown: use one of {ENCODING_FORMATS!r}."
            )
        self.model, self.dimensions = model, dimensions
        self.limits = BatchLimits(max_texts, max_characters)
        self.timeout = timeout
        self._url = _endpoint(base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL)
        self._api_key_env = api_key_env
        if send_dimensions is None:
            send_dimensions = model.startswith("text-embedding-3")
        self._body: dict[str, Any] = {"model": model, "encoding_format": encoding_format}
        if send_dimensions:
            self._body["dimensions"] = dimensions
        self._query_prefix, self._document_prefix = query_prefix, document_prefix
        self._client: httpx2.Client | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<OpenAIEmbedder {self.model!r} at {self._url.host!r}>"

    def verify(self) -> None:
        """The key must be there. See ``Embedder``."""
        self._api_key()

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Vectors, and the token count if there is one text (servers report a sum). See ``Embedder``."""
        return self._embed(texts, self._document_prefix)

    def embed_query(self, text: str) -> Vector:
        """The vector of ``query_prefix + text``. See ``Embedder``."""
        return self._embed([text], self._query_prefix).vectors[0]

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _embed(self, texts: Sequence[str], prefix: str) -> Embeddings:
        check_texts(texts, self.limits)
        if not texts:
            return Embeddings([], [])
        response, content = self._post([prefix + text for text in texts])
        if response.status_code != 200:
            raise self._refusal(response, content)
        vectors, tokens = parse_embeddings(content, count=len(texts), server=self._url.host)
        check_vectors(vectors, model=self.model, dimensions=self.dimensions)
        return Embeddings(vectors, [tokens] if tokens is not None and len(texts) == 1 else None)

    def _post(self, texts: list[str]) -> tuple[httpx2.Response, bytes]:
        headers = self._headers()
        deadline = time.monotonic() + self.timeout
        allowed = _BYTES_BESIDE + _BYTES_PER_NUMBER * self.dimensions * len(texts)
        content = bytearray()
        body = {"input": texts, **self._body}
        try:
            with self._open().stream("POST", self._url, json=body, headers=headers) as response:
                for part in response.iter_bytes():
                    content += part
                    # The client's own timeout is per read, and a server may send one byte now and then.
                    if time.monotonic() > deadline:
                        raise httpx2.ReadTimeout("the answer is too slow")
                    if len(content) > allowed:
                        raise httpx2.DecodingError(f"the answer has more than {allowed} bytes")
        except httpx2.TimeoutException as error:
            raise RetryableEmbeddingError(
                f"{self._url.host!r} did not answer for {self.model!r} within {self.timeout} s "
                f"({type(error).__name__}): try again, or raise TIMEOUT."
            ) from error
        except httpx2.RequestError as error:
            raise RetryableEmbeddingError(
                f"The call to {self._url.host!r} for {self.model!r} failed ({type(error).__name__}: "
                f"{error}): "
                "try again, and check BASE_URL if it persists."
            ) from error
        return response, bytes(content)

    def _refusal(self, response: httpx2.Response, content: bytes) -> Exception:
        status = response.status_code
        key = self._api_key()
        message = provider_message(content, secret=key)
        text = f"{self._url.host!r} answered {status} for {self.model!r}: {message!r}"
        if status in _RETRYABLE or status >= 500:
            wait = parse_retry_after(response.headers)
            return RetryableEmbeddingError(f"{text}. Try again later.", retry_after=wait)
        if status < 400:
            return EmbeddingSetupError(f"{text}. Set BASE_URL to where the server really is.")
        if status in (401, 403, 404):
            return EmbeddingSetupError(f"{text}. {_ADVICE[status]}")
        return PermanentEmbeddingError(f"{text}. {_ADVICE.get(status, _ADVICE[400])}")

    def _headers(self) -> Mapping[str, str]:
        key = self._api_key()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _api_key(self) -> str | None:
        if not self._api_key_env:
            return None
        key = os.environ.get(self._api_key_env, "").strip()
        if not key:
            raise ConfigurationError(
                f"The environment variable {self._api_key_env!r} holds no API key for {self.model!r}: set it "
                "(any value for a server that wants none, or API_KEY_ENV to None)."
            )
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError(
                f"The API key in {self._api_key_env!r} has characters that no HTTP header can carry: set it anew."
            )
        return key

    def _open(self) -> httpx2.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx2.Client(timeout=self.timeout)
            return self._client


_ADVICE: Final = {
    400: "Correct the request: the text may be longer than the model allows (lower CHUNK_SIZE).",
    401: "Check the API key.",
    403: "Check what the API key may do.",
    404: "Check MODEL and BASE_URL.",
    413: "Lower MAX_TEXTS or MAX_CHARACTERS.",
}


def _endpoint(base_url: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base_url.rstrip("/") + "/embeddings")
    except (httpx2.InvalidURL, TypeError, AttributeError) as error:
        raise ConfigurationError(f"BASE_URL {base_url!r} is not a URL ({error}): correct it.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"BASE_URL {base_url!r} must begin with http:// or https:// and name a host.")
    if url.userinfo or url.query:
        raise ConfigurationError(
            f"BASE_URL of {url.host!r} must hold neither a password nor a query: put the key into API_KEY_ENV."
        )
    return url
