"""The outage of a provider, which its workers tell one another through the database, and people read in the status."""

from uuid import uuid4

from pgknowbase.core import gateway
from pgknowbase.embeddings.base import Embedder
from pgknowbase.errors import EmbeddingError, ThrottledEmbeddingError


class Outage:
    """What one executor knows of the trouble of its embedder's provider.

    Attributes:
        is_known: whether the provider was in trouble when this executor last looked or reported.

    >>> outage = Outage("default")
    >>> outage.report(embedder, error, pause=2.0)
    >>> outage.look(embedder), outage.is_known  # one's own pause is one's own matter
    (None, True)
    """

    def __init__(self, using: str) -> None:
        self.using = using
        self.is_known = False
        self._executor = uuid4()

    def look(self, embedder: Embedder) -> float | None:
        """The seconds of a pause that others have heard of and that lasts on; None if there is none."""
        rows = gateway.fetch(self.using, "provider_outage", **_provider(embedder), executor=self._executor)
        self.is_known = bool(rows)
        pause = rows[0][0] if rows else None
        return pause if pause is not None and pause > 0 else None

    def report(self, embedder: Embedder, error: EmbeddingError, *, pause: float) -> None:
        """Say why the provider gets a pause of so many seconds. All workers keep one that it has asked for."""
        gateway.fetch(
            self.using,
            "provider_failed",
            **_provider(embedder),
            executor=self._executor,
            error=str(error),
            pause=pause,
            throttled=isinstance(error, ThrottledEmbeddingError),
        )
        self.is_known = True

    def end(self, embedder: Embedder) -> None:
        """Say that the provider answers again."""
        if self.is_known:
            gateway.fetch(self.using, "provider_recovered", **_provider(embedder))
            self.is_known = False


def _provider(embedder: Embedder) -> dict[str, str]:
    return {"provider": embedder.provider or type(embedder).__name__, "model": embedder.model}
