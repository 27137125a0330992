"""The one exception tree. Each message names the thing with ``!r`` and ends with what to do."""

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from pgknowbase.embeddings.rate_headers import ReportedRate


class PgKnowbaseError(Exception):
    """Base of every error that pgknowbase raises on purpose."""


class ConfigurationError(PgKnowbaseError):
    """A setting or an ``ExternalDataMeta`` is wrong; the process should not start with it."""


class MissingExtraError(ConfigurationError):
    """An optional package or weight file is absent; the message holds the exact install line."""


class PathNotSupportedError(ConfigurationError):
    """A path in ``watch_fields`` exists, but no trigger can capture changes along it."""


class RenderError(PgKnowbaseError):
    """A hook of a source model returned something that cannot be stored, or left its transaction unusable."""


class SourceUnavailableError(PgKnowbaseError):
    """The tables or triggers of a source model are those of another version of the project than this process runs.

    ``label`` names the model. Its changes wait for a process that fits.
    """

    def __init__(self, message: str, *, label: str) -> None:
        super().__init__(message)
        self.label = label


class IsolationError(PgKnowbaseError):
    """The caller's transaction may read an old state of the rows, so nothing can be synchronised inside it."""


class EmbeddedPostgresError(PgKnowbaseError):
    """The embedded Postgres cannot be started, reached or stopped."""


class EmbeddingError(PgKnowbaseError):
    """A text could not be embedded.

    ``billed_tokens``: what the provider says that the call has cost nevertheless, or None. ``rate``: what its headers
    say of its limits, or None.
    """

    billed_tokens: int | None = None
    rate: "ReportedRate | None" = None


class RetryableEmbeddingError(EmbeddingError):
    """The provider may succeed later (429, 5xx, timeout, lost connection).

    ``retry_after`` is the delay in seconds that the provider asked for, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ThrottledEmbeddingError(RetryableEmbeddingError):
    """The account may not ask now (429): no worker asks this provider until ``retry_after`` is over."""


class PermanentEmbeddingError(EmbeddingError):
    """The same request will never succeed (an empty or too long text, a zero vector, not a number)."""


class RefusedEmbeddingError(PermanentEmbeddingError):
    """The provider refuses the request. Whether for a text, the request itself or the account, nobody knows yet."""


class UnknownTextError(PermanentEmbeddingError):
    """The model knows hardly any token of a text, so its vector would say nothing of it; keyword search serves it."""


class EmbeddingSetupError(PermanentEmbeddingError):
    """Every request fails until somebody corrects key, model, address or dimensions; no text is at fault."""


class RerankError(PgKnowbaseError):
    """The second stage of a search could not score; the search keeps the order of its first one.

    ``retry_after`` is the delay in seconds that the provider asked for, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LateRerankError(RerankError):
    """The second stage took longer than its ``TIMEOUT``."""


class SpaceMismatchError(PgKnowbaseError):
    """The settings and the active embedding space in the database do not agree."""


class ModelChangedError(SpaceMismatchError):
    """Another model answers by the name of the one that made the vectors of a space; nothing is embedded for it."""


class SpaceError(PgKnowbaseError):
    """An embedding space cannot be added, filled, activated or dropped as asked."""


class AdoptionError(PgKnowbaseError):
    """A vectorizer of pgai cannot be adopted, restored or finished as asked; nothing was changed."""


class NotYetIndexedError(PgKnowbaseError):
    """An object did not become searchable while somebody waited for it; the message says what it waits for."""


class TryLaterError(PgKnowbaseError):
    """Raised by a reaction that cannot run yet: it runs later, and this attempt does not count.

    ``delay`` in seconds, or None for ``REACTIONS["RETRY"]["MAX_DELAY"]``.
    """

    def __init__(self, message: str, *, delay: float | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class ReactionTimeoutError(PgKnowbaseError):
    """The run took longer than its timeout: make it shorter, or the timeout longer."""

    def __str__(self) -> str:
        return super().__str__() or str(type(self).__doc__)


class ReactionCancelledError(PgKnowbaseError):
    """Raised by a reaction that a person has cancelled: its run ends without a retry and without a dead letter."""


class SearchError(PgKnowbaseError):
    """A search was asked for something that cannot be answered."""


class QueryTimeoutError(SearchError):
    """The queries of a caller took longer than ``QUERY_TIMEOUT`` or ``ANONYMOUS_QUERY_TIMEOUT``, and were cancelled."""


class ServerDownError(SearchError):
    """A server of the cluster over which the chunk store is distributed does not answer."""


class NotIndexedError(SearchError):
    """The object is not in the index, so nothing can be compared with it."""


class FreshnessError(SearchError):
    """A freshness token cannot be taken, or cannot be kept: it is malformed, of another cluster or of the future."""


class NotYetFreshError(FreshnessError):
    """No server had what a freshness token says within the time that the search could wait."""


class AgentError(PgKnowbaseError):
    """An agent, a workflow or a tool set cannot do what it was asked to."""


class NoModelError(AgentError, ConfigurationError):
    """A run has no language model, or one that nothing here can reach."""


class UnknownAgentError(AgentError):
    """No agent of that name is declared in an ``agents.py`` or kept in the database, or the user may not use it."""


class BudgetExceededError(AgentError):
    """The budget of a user, of an agent or of all runs is used up for today; nothing was sent to a provider."""


class ToolRefusedError(AgentError):
    """A tool set refuses a call; the message is given to the model, which can act on it."""


class ApprovalError(AgentError):
    """A request for approval cannot be decided as asked."""


class RunError(AgentError):
    """A recorded run did not complete; ``execution_id`` is its row."""

    def __init__(self, message: str, *, execution_id: UUID) -> None:
        super().__init__(message)
        self.execution_id = execution_id


class RunFailedError(RunError):
    """The provider, the model's answer or a tool made the run fail."""


class RunTimeoutError(RunError, TimeoutError):
    """The run took longer than its timeout and was stopped."""


class RunCancelledError(RunError):
    """Somebody cancelled the run."""


class ApprovalNeededError(RunError):
    """The run is paused until a person decides on a tool call; it goes on afterwards, see docs/agents.md."""


class WorkflowError(AgentError):
    """A workflow did not complete; ``workflow_id`` is its row, None if there is none yet."""

    def __init__(self, message: str, *, workflow_id: UUID | None = None) -> None:
        super().__init__(message)
        self.workflow_id = workflow_id


class UnknownWorkflowError(WorkflowError):
    """No workflow of that name is defined."""


class ChatError(PgKnowbaseError):
    """A question cannot be accepted, or a chat session cannot be started."""


class NotFoundError(PgKnowbaseError):
    """The index has no such object, or the user may not see it: the message does not tell which."""
