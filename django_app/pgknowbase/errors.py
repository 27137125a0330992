"""The one exception tree. Each message names the thing with ``!r`` and ends with what to do."""

from uuid import UUID


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


class TryLaterError(PgKnowbaseError):
    """Raised by a reaction that cannot run yet: it runs again later, and this try does not count.

    ``delay`` in seconds, or None for ``REACTIONS["RETRY_DELAY_MAX"]``.
    """

    def __init__(self, message: str, *, delay: float | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class ReactionCancelledError(PgKnowbaseError):
    """Raised by a reaction that a person has cancelled: its run has ended, without another try and no dead letter."""


class SearchError(PgKnowbaseError):
    """A search was asked for something that cannot be answered."""


class NotIndexedError(SearchError):
    """The object is not in the index, so nothing can be compared with it."""


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
    """A question cannot be taken, or a chat cannot be begun."""


class NotFoundError(PgKnowbaseError):
    """The index has no such object, or the user may not see it: the message does not tell which."""
