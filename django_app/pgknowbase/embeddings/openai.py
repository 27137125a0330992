"""OpenAI's embeddings API, and the many servers that speak it, through the package ``openai``."""

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pgknowbase.core.secrets import read_key
from pgknowbase.embeddings.answers import parse_embeddings
from pgknowbase.embeddings.base import (
    BatchLimits,
    Embedder,
    Embeddings,
    Vector,
    check_numbers,
    check_texts,
    check_vectors,
)
from pgknowbase.embeddings.rate_headers import ReportedRate, parse_rate
from pgknowbase.embeddings.refusals import provider_message, refusal
from pgknowbase.embeddings.weights import require
from pgknowbase.errors import ConfigurationError, EmbeddingError, RetryableEmbeddingError

if TYPE_CHECKING:
    from openai import OpenAI

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
ENCODING_FORMATS: Final = ("float", "base64")

_INSTALL: Final = "run `pip install 'django-pgknowbase[openai]'`"
_BYTES_PER_NUMBER: Final = 64  # indented JSON of a double, generously
_BYTES_BESIDE: Final = 2**20


class OpenAIEmbedder(Embedder):
    """Embeds by a server that speaks OpenAI's ``POST /embeddings``: OpenAI, vLLM, TEI, Ollama, LM Studio.

    All threads share one connection pool. Nothing is retried here: the worker retries, with backoff.

    Args:
        model: the model's name, as the server knows it.
        dimensions: the length of its vectors.
        base_url: default ``OPENAI_BASE_URL``, else OpenAI's own; ``/embeddings`` is added.
        api_key_env: the environment variable that holds the key, read at each call; None sends no key.
        timeout: seconds that one call may take.
        max_texts: texts of one call.
        max_characters: characters of one call.
        send_dimensions: whether to ask the server for ``dimensions``; default only for ``text-embedding-3*``.
        query_prefix: put before each query, for models trained with one (``"query: "``).
        document_prefix: put before each document.
        encoding_format: ``"float"``, or ``"base64"`` (less traffic); the server may answer with either.

    Raises:
        ConfigurationError: an argument is wrong. A missing key shows at the first call.
        MissingExtraError: the package ``openai`` is absent.
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
        check_numbers(timeout=timeout, max_texts=max_texts, max_characters=max_characters)
        if encoding_format not in ENCODING_FORMATS:
            raise ConfigurationError(
                f"ENCODING_FORMAT {encoding_format!r} is unknown: use one of {ENCODING_FORMATS!r}."
            )
        require(("openai",), backend="OpenAIEmbedder", install=_INSTALL)
        self.model, self.dimensions = model, dimensions
        self.limits = BatchLimits(max_texts, max_characters)
        self.timeout = timeout
        self._base_url, self.provider = _checked_url(base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL)
        self._api_key_env = api_key_env
        if send_dimensions is None:
            send_dimensions = model.startswith("text-embedding-3")
        self._request: dict[str, Any] = {"model": model, "encoding_format": encoding_format}
        if send_dimensions:
            self._request["dimensions"] = dimensions
        self._query_prefix, self._document_prefix = query_prefix, document_prefix
        self._client: OpenAI | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<OpenAIEmbedder {self.model!r} at {self.provider!r}>"

    @property
    def fingerprint(self) -> str:
        """See ``Embedder``."""
        return repr((super().fingerprint, self._base_url, self._document_prefix, self._request.get("dimensions")))

    def verify(self) -> None:
        """Check that the API key is set. See ``Embedder``."""
        self._api_key()

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Vectors, and the token count if there is one text (servers report a sum). See ``Embedder``."""
        return self._embed(texts, self._document_prefix)

    def embed_query(self, text: str) -> Vector:
        """The vector of ``query_prefix + text``. See ``Embedder``."""
        return self.embed_query_with_usage(text).vectors[0]

    def embed_query_with_usage(self, text: str) -> Embeddings:
        """See ``Embedder``."""
        return self._embed([text], self._query_prefix)

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
        content, rate = self._post([prefix + text for text in texts])
        vectors, tokens = parse_embeddings(content, count=len(texts), server=self.provider)
        try:
            check_vectors(vectors, model=self.model, dimensions=self.dimensions)
        except EmbeddingError as error:
            error.billed_tokens = tokens
            error.rate = rate
            raise
        return Embeddings(vectors, [tokens] if tokens is not None and len(texts) == 1 else None, tokens, rate)

    def _post(self, texts: list[str]) -> tuple[bytes, ReportedRate | None]:
        """The body of the answer, unread: see ``answers`` for why; and what its headers say of limits."""
        import httpx2
        import openai

        from pgknowbase.embeddings.bounded_http import bounded

        key = self._api_key()
        # The client never holds the key: it is sent with each call, so that a new one needs no restart.
        headers = {"Authorization": f"Bearer {key}" if key else openai.Omit()}
        # A server that sends without end must not fill the memory of the worker.
        max_bytes = _BYTES_BESIDE + _BYTES_PER_NUMBER * self.dimensions * len(texts)
        try:
            with bounded(seconds=self.timeout, max_bytes=max_bytes):
                # Not embeddings.create(), which compares each text to its annotated type: half of a call's time.
                response = self._open().post(
                    "/embeddings",
                    cast_to=httpx2.Response,
                    body={"input": texts, **self._request},
                    options={"headers": headers},
                )
                return response.content, parse_rate(response.headers)
        except openai.APITimeoutError as error:
            raise RetryableEmbeddingError(
                f"{self.provider!r} did not answer for {self.model!r} within {self.timeout} s "
                f"({_cause(error)}): try again, or raise TIMEOUT."
            ) from None
        except openai.APIConnectionError as error:
            raise RetryableEmbeddingError(
                f"The call to {self.provider!r} for {self.model!r} failed ({_cause(error)}): "
                "try again, and check BASE_URL if it persists."
            ) from None
        except openai.APIStatusError as error:
            message = provider_message(error.response.content, secret=key)
            # The cause is left out: its request holds the key.
            raise refusal(
                error.status_code,
                message,
                server=self.provider,
                model=self.model,
                headers=error.response.headers,
            ) from None

    def _api_key(self) -> str | None:
        return read_key(self._api_key_env, self.model)

    def _open(self) -> "OpenAI":
        with self._lock:
            if self._client is None:
                self._client = _make_client(self._base_url, self.timeout)
            return self._client


def _make_client(base_url: str, timeout: float) -> "OpenAI":
    from openai import OpenAI

    from pgknowbase.embeddings.bounded_http import make_client

    return OpenAI(base_url=base_url, api_key="-", max_retries=0, timeout=timeout, http_client=make_client(timeout))


def _checked_url(base_url: str) -> tuple[str, str]:
    """The address without a slash at its end, and its host."""
    try:
        parts = urlsplit(base_url.rstrip("/"))
        host, _ = parts.hostname or "", parts.port
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"BASE_URL {base_url!r} is not a URL ({error}): correct it.") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"BASE_URL {base_url!r} must begin with http:// or https:// and name a host.")
    if "@" in parts.netloc or parts.query:
        raise ConfigurationError(
            f"BASE_URL of {host!r} must hold neither a password nor a query: put the key into API_KEY_ENV."
        )
    return base_url.rstrip("/"), host


def _cause(error: Exception) -> str:
    """Which error of the HTTP client it was. Its request, which holds texts and key, is not shown."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}".removesuffix(": ")
