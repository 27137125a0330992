"""The one exception tree. Each message names the thing with ``!r`` and ends with what to do."""


class PgKnowbaseError(Exception):
    """Base of every error that pgknowbase raises on purpose."""


class ConfigurationError(PgKnowbaseError):
    """A setting or an ``ExternalDataMeta`` is wrong; the process should not start with it."""


class MissingExtraError(ConfigurationError):
    """An optional package or weight file is absent; the message holds the exact install line."""


class EmbeddedPostgresError(PgKnowbaseError):
    """The embedded Postgres cannot be started, reached or stopped."""


class EmbeddingError(PgKnowbaseError):
    """A text could not be embedded."""


class RetryableEmbeddingError(EmbeddingError):
    """The provider may succeed later (429, 5xx, timeout, lost connection).

    ``retry_after`` is the provider's own wish in seconds, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentEmbeddingError(EmbeddingError):
    """The same request will never succeed (refused or too long input, a zero vector, not a number)."""


class EmbeddingSetupError(PermanentEmbeddingError):
    """Every request fails until somebody corrects key, model, address or dimensions; no text is at fault."""


class SpaceMismatchError(PgKnowbaseError):
    """The settings and the active embedding space in the database do not agree."""


class SpaceError(PgKnowbaseError):
    """An embedding space cannot be added, filled, activated or dropped as asked."""


class NotYetIndexedError(PgKnowbaseError):
    """An object did not become searchable while somebody waited for it; the message says what it waits for."""


class SearchError(PgKnowbaseError):
    """A search was asked for something that cannot be answered."""


class NotIndexedError(SearchError):
    """The object is not in the index, so nothing can be compared with it."""


class NotFoundError(PgKnowbaseError):
    """The index has no such object, or the user may not see it: the message does not tell which."""
