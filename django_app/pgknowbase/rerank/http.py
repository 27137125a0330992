"""Rerankers behind HTTP: Cohere's and Jina's form, which vLLM, llama.cpp and others serve too, and that of TEI.

All take a query and texts, and answer with the place of each text and its score, best first:

- ``cohere``: ``documents`` in, ``results`` of ``index`` and ``relevance_score`` out.
- ``jina``: the same, and without ``return_documents`` the texts come back too.
- ``tei``: ``texts`` in, a list of ``index`` and ``score`` out.
"""

import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pgknowbase.core.secrets import read_key
from pgknowbase.embeddings.base import check_numbers, shorten
from pgknowbase.embeddings.refusals import parse_retry_after, provider_message
from pgknowbase.embeddings.weights import require
from pgknowbase.errors import ConfigurationError, LateRerankError, RerankError
from pgknowbase.rerank.base import Deadline, Reranker, Scores, check_scores

if TYPE_CHECKING:
    import httpx2

FORMATS: Final = ("cohere", "jina", "tei")

_INSTALL: Final = "run `pip install 'django-pgknowbase[openai]'`"
_BYTES_PER_TEXT: Final = 256  # of its place and its score, generously
_BYTES_BESIDE: Final = 2**16
_LONGEST: Final = 100_000  # characters of a text that an answer may repeat


class HTTPReranker(Reranker):
    """Scores by a server: Cohere, Jina, vLLM, llama.cpp, Text Embeddings Inference.

    All threads share one connection pool. Nothing is retried: a search does not wait twice.

    Args:
        model: the model's name, as the server knows it.
        url: of the endpoint, such as ``https://api.cohere.com/v2/rerank`` or ``http://127.0.0.1:8080/rerank``.
        format: ``"cohere"``, ``"jina"`` or ``"tei"``.
        api_key_env: the environment variable that holds the key, read at each call; None sends no key.
        max_texts: texts of one call; more are sent in several, one after another.

    Raises:
        ConfigurationError: an argument is wrong. A missing key shows at the first call.
        MissingExtraError: the package ``httpx2`` is absent.
    """

    def __init__(
        self,
        *,
        model: str,
        url: str = "",
        format: str = "cohere",
        api_key_env: str | None = None,
        max_texts: int = 100,
    ) -> None:
        check_numbers(max_texts=max_texts)
        if format not in FORMATS:
            raise ConfigurationError(f"FORMAT {format!r} is unknown: use one of {FORMATS!r}.")
        require(("httpx2",), backend="HTTPReranker", install=_INSTALL)
        self.model, self.max_texts = model, int(max_texts)
        self._url, self.provider = _checked_url(url)
        self._format, self._api_key_env = format, api_key_env
        self._client: httpx2.Client | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<HTTPReranker {self.model!r} at {self.provider!r}>"

    @property
    def fingerprint(self) -> str:
        """See ``Reranker``."""
        return repr((super().fingerprint, self._url, self._format))

    def verify(self) -> None:
        """Check that the API key is set. See ``Reranker``."""
        self._api_key()

    def score(self, query: str, texts: Sequence[str], deadline: Deadline) -> Scores:
        """See ``Reranker``."""
        content = self._post(self._request(query, texts), texts, deadline)
        answer = _parsed(content, self.provider)
        scores = _in_order(answer, len(texts), self.provider)
        check_scores(scores, count=len(texts), server=self.provider)
        return Scores(scores, _tokens(answer))

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _request(self, query: str, texts: Sequence[str]) -> dict[str, Any]:
        if self._format == "tei":
            # A text that is longer than the model reads is cut there, not refused.
            return {"query": query, "texts": list(texts), "truncate": True}
        request = {"model": self.model, "query": query, "documents": list(texts), "top_n": len(texts)}
        return {**request, "return_documents": False} if self._format == "jina" else request

    def _post(self, request: dict[str, Any], texts: Sequence[str], deadline: Deadline) -> bytes:
        import httpx2

        from pgknowbase.embeddings.bounded_http import bounded

        key = self._api_key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Some servers repeat the texts, whatever they are asked.
        repeated = sum(6 * min(len(text), _LONGEST) for text in texts)
        most = _BYTES_BESIDE + _BYTES_PER_TEXT * len(texts) + repeated
        deadline.check()
        seconds = deadline.seconds_left
        try:
            with bounded(seconds=seconds, max_bytes=most):
                response = self._open().post(self._url, json=request, headers=headers, timeout=max(seconds, 0.001))
        except httpx2.TimeoutException as error:
            raise LateRerankError(
                f"{self.provider!r} did not answer for {self.model!r} within {seconds:.2f} s"
                f" ({type(error).__name__}): raise TIMEOUT, or lower CANDIDATES."
            ) from None
        except httpx2.HTTPError as error:
            # The cause is left out: its request holds the key.
            raise RerankError(
                f"The call to {self.provider!r} for {self.model!r} failed ({type(error).__name__}: {error}): check URL."
            ) from None
        if response.status_code != 200:
            message = provider_message(response.content, secret=key)
            where = "Set URL to where the server really is" if response.is_redirect else "Check URL, MODEL and key"
            raise RerankError(
                f"{self.provider!r} answered {response.status_code} for {self.model!r}: {message!r}. {where}.",
                retry_after=parse_retry_after(response.headers),
            )
        return response.content

    def _api_key(self) -> str | None:
        return read_key(self._api_key_env, self.model)

    def _open(self) -> "httpx2.Client":
        from pgknowbase.embeddings.bounded_http import make_client

        with self._lock:
            if self._client is None:
                self._client = make_client(30.0)
            return self._client


def _checked_url(url: str) -> tuple[str, str]:
    """The address, and its host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"URL {url!r} is not one ({error}): correct it.") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"URL {url!r} must begin with http:// or https:// and name a host.")
    if "@" in parts.netloc or parts.query:
        raise ConfigurationError(f"URL of {host!r} must hold neither a password nor a query: use API_KEY_ENV.")
    return url, host


def _parsed(content: bytes, server: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        shown = shorten(content[:200].decode(errors="replace"))
        raise RerankError(f"{server!r} answered with no JSON ({shown!r}): check URL and FORMAT.") from error


def _in_order(answer: Any, count: int, server: str) -> list[float]:
    """The scores in the order of the texts."""
    results = answer.get("results") if isinstance(answer, dict) else answer
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise RerankError(f"{server!r} answered without a list of results: check URL and FORMAT.")
    scores: dict[int, float] = {}
    for each in results:
        place, score = each.get("index"), each.get("relevance_score", each.get("score"))
        if type(place) is not int or not 0 <= place < count or place in scores or type(score) not in (int, float):
            raise RerankError(
                f"{server!r} answered with {shorten(repr(each))} among the results of {count} texts: check FORMAT."
            )
        scores[place] = _float(score)
    if len(scores) != count:
        raise RerankError(f"{server!r} gave {len(scores)} scores for {count} texts: check which model answers there.")
    return [scores[place] for place in range(count)]


def _float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def _tokens(answer: Any) -> int | None:
    usage = answer.get("usage") if isinstance(answer, dict) else None
    found = usage.get("total_tokens") if isinstance(usage, dict) else None
    return found if type(found) is int and found > 0 else None
