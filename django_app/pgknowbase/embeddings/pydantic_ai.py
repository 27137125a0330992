"""Cohere, Google, Bedrock, Voyage, sentence-transformers and others, by the embedding models of pydantic-ai."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pgknowbase.core.importing import importing
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
from pgknowbase.embeddings.refusals import message_of, refusal
from pgknowbase.embeddings.weights import require
from pgknowbase.errors import ConfigurationError, EmbeddingError, MissingExtraError, RetryableEmbeddingError

if TYPE_CHECKING:
    from pydantic_ai.embeddings import EmbeddingModel, EmbeddingResult
    from pydantic_ai.providers import Provider

T = TypeVar("T")

# What the answers to one call, which is a task of its own, have said.
_heard: ContextVar[list[ReportedRate | None]] = ContextVar("heard")

_INSTALL: Final = "run `pip install 'django-pgknowbase[pydantic-ai]'`"


class PydanticAIEmbedder(Embedder):
    """Embeds by any model that pydantic-ai knows, such as ``"cohere:embed-v4.0"``.

    The package of the provider comes by an extra of pydantic-ai (``pydantic-ai-slim[cohere]``), and its key from the
    environment variable that pydantic-ai names (``CO_API_KEY``). Documents and queries are told apart where the model
    does. Nothing is retried here: the worker retries, with backoff.

    Args:
        model: provider and model, with a colon between them.
        dimensions: the length of its vectors.
        timeout: seconds that one call may take.
        max_texts: texts of one call; Cohere and Bedrock take 96, Google 100, Voyage 1,000.
        max_characters: characters of one call.
        send_dimensions: whether to ask the model for ``dimensions``. Some cannot be asked.
        settings: more settings of pydantic-ai, such as ``{"truncate": True}``.

    Raises:
        ConfigurationError: an argument is wrong.
        MissingExtraError: pydantic-ai is absent. The package of the provider shows at ``verify`` or the first call.
    """

    def __init__(
        self,
        *,
        model: str,
        dimensions: int,
        timeout: float = 30.0,
        max_texts: int = 96,
        max_characters: int = 200_000,
        send_dimensions: bool = False,
        settings: dict[str, Any] | None = None,
    ) -> None:
        check_numbers(timeout=timeout, max_texts=max_texts, max_characters=max_characters)
        if not isinstance(model, str) or not all(model.partition(":")):
            raise ConfigurationError(f"MODEL {model!r} names no provider: write it as 'cohere:embed-v4.0'.")
        require(("pydantic_ai",), backend="PydanticAIEmbedder", install=_INSTALL)
        self.model, self.dimensions = model, dimensions
        self.limits = BatchLimits(max_texts, max_characters)
        self.timeout = timeout
        self.provider = model.partition(":")[0]
        self._settings = {**(settings or {}), **({"dimensions": dimensions} if send_dimensions else {})}
        self._made: EmbeddingModel | None = None
        self._clients: list[Provider[Any]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """See ``Embedder``."""
        return repr((super().fingerprint, sorted(self._settings.items(), key=lambda item: item[0])))

    def verify(self) -> None:
        """Check that package and key of the provider are there. See ``Embedder``."""
        self._model()

    def embed_documents(self, texts: Sequence[str]) -> Embeddings:
        """Vectors, and the token count if there is one text (providers report a sum). See ``Embedder``."""
        return self._embed(texts, "document")

    def embed_query(self, text: str) -> Vector:
        """The vector of the text as a query. See ``Embedder``."""
        return self.embed_query_with_usage(text).vectors[0]

    def embed_query_with_usage(self, text: str) -> Embeddings:
        """See ``Embedder``."""
        return self._embed([text], "query")

    def close(self) -> None:
        """End the thread of the calls; the next call starts another one."""
        with self._lock:
            loop, self._loop, self._made = self._loop, None, None
            clients, self._clients = self._clients, []
        if loop is not None:
            asyncio.run_coroutine_threadsafe(_close(clients), loop).result(self.timeout)
            loop.call_soon_threadsafe(loop.stop)

    def _embed(self, texts: Sequence[str], input_type: Literal["document", "query"]) -> Embeddings:
        check_texts(texts, self.limits)
        if not texts:
            return Embeddings([], [])
        result, rate = self._call(list(texts), input_type)
        vectors = [list(map(float, vector)) for vector in result.embeddings]
        if len(vectors) != len(texts):
            raise RetryableEmbeddingError(
                f"{self.provider!r} returned {len(vectors)} vectors for {len(texts)} texts with {self.model!r}: try"
                " again."
            )
        check_vectors(vectors, model=self.model, dimensions=self.dimensions)
        tokens = result.usage.input_tokens or None
        return Embeddings(vectors, [tokens] if tokens and len(texts) == 1 else None, tokens, rate)

    def _call(
        self, texts: list[str], input_type: Literal["document", "query"]
    ) -> "tuple[EmbeddingResult, ReportedRate | None]":
        with importing:
            from pydantic_ai.exceptions import AgentRunError, ModelHTTPError, UserError

        model, settings = self._model(), self._settings
        try:
            return self._wait(_hear_rate(model.embed(texts, input_type=input_type, settings=settings)))  # type: ignore[arg-type]
        except ModelHTTPError as error:
            raise self._refusal(error) from None  # the cause may hold the request, and the request the key
        except FutureTimeoutError:
            raise RetryableEmbeddingError(
                f"{self.provider!r} did not answer for {self.model!r} within {self.timeout} s: try again, or raise"
                " TIMEOUT."
            ) from None
        except (UserError, NotImplementedError) as error:
            message = message_of(None, str(error))
            raise ConfigurationError(f"{self.model!r} cannot be asked so ({message}): correct OPTIONS.") from None
        except AgentRunError as error:
            message = message_of(None, str(error))
            raise RetryableEmbeddingError(
                f"The call to {self.provider!r} for {self.model!r} failed ({message}): try again."
            ) from None

    def _refusal(self, error: Any) -> EmbeddingError:
        message = message_of(error.body, str(error.body or error))
        headers = error.headers or {}
        return refusal(error.status_code, message, server=self.provider, model=self.model, headers=headers)

    def _model(self) -> "EmbeddingModel":
        with self._lock:
            if self._made is None:
                self._made = self._make()
                self.provider = urlsplit(self._made.base_url or "").hostname or self.provider
            return self._made

    def _make(self) -> "EmbeddingModel":
        with importing:
            from pydantic_ai.embeddings import infer_embedding_model
            from pydantic_ai.exceptions import UserError
            from pydantic_ai.providers import infer_provider

        def make_client(name: str) -> "Provider[Any]":
            self._clients.append(infer_provider(name))
            _retry_nothing(self._clients[-1].client)
            _listen(self._clients[-1].client)
            return self._clients[-1]

        try:
            return infer_embedding_model(self.model, provider_factory=make_client)
        except ImportError as error:
            raise MissingExtraError(f"{self.model!r} needs a package that is not installed: {error}") from error
        except (UserError, ValueError) as error:
            message = message_of(None, str(error))
            raise ConfigurationError(f"{self.model!r} cannot be used ({message}): correct it.") from None

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, from one event loop for all threads: the connections of a client belong to one."""
        future = asyncio.run_coroutine_threadsafe(call, self._running_loop())
        try:
            return future.result(self.timeout)
        except FutureTimeoutError:
            future.cancel()
            raise

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(self._loop,), name="pgknowbase-embed-loop", daemon=True).start()
            return self._loop


def _retry_nothing(client: Any) -> None:
    """OpenAI's and Cohere's clients ask twice more after a 429. Who pauses the provider must hear of the first."""
    if hasattr(client, "max_retries"):
        client.max_retries = 0
    sender = getattr(getattr(client, "_client_wrapper", None), "httpx_client", None)
    if sender is not None and hasattr(sender, "base_max_retries"):
        sender.base_max_retries = 0


def _listen(client: Any) -> None:
    """Have the headers of each answer read, where the client of the provider is made of one that can be listened to."""
    wrapped = getattr(getattr(client, "_client_wrapper", None), "httpx_client", None)
    senders: tuple[Any, ...] = (getattr(client, "_client", None), getattr(wrapped, "httpx_client", None))
    for sender in senders:
        hooks = getattr(sender, "event_hooks", None)
        if hooks is not None and _note_rate not in hooks["response"]:
            sender.event_hooks = {**hooks, "response": [*hooks["response"], _note_rate]}


async def _note_rate(response: Any) -> None:
    heard = _heard.get(None)
    if heard is not None:
        heard.append(parse_rate(response.headers))


async def _hear_rate(call: Coroutine[Any, Any, T]) -> tuple[T, ReportedRate | None]:
    """The result of a call, with what the headers of its answer say of limits."""
    heard: list[ReportedRate | None] = []
    _heard.set(heard)
    result = await call
    return result, heard[-1] if heard else None


async def _close(clients: "Sequence[Provider[Any]]") -> None:
    for client in clients:
        async with client:  # closes its connections at the end
            pass


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
