"""``settings.PGKNOWBASE``, typed. Read anew at each call, so ``override_settings`` works."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from django.conf import settings as django_settings
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pgknowbase.errors import ConfigurationError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=str.upper)


class EmbeddingSettings(_Strict):
    """One entry of ``EMBEDDINGS``: which class reaches which model, and how."""

    backend: str
    model: Annotated[str, Field(min_length=1)]
    dimensions: Annotated[int, Field(ge=1, le=4000)]
    options: dict[str, Any] = {}


Rate = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,8}/(second|minute|hour|day))?$")]
Splitter = Literal["recursive", "markdown", "code"]
Index = Literal["halfvec", "binary"]
Storage = Literal["vector", "halfvec"]


class SpaceSettings(_Strict):
    """An embedding space: which backend, how documents are cut, what is put around a chunk, how vectors are kept."""

    embedding: str = "default"
    chunk_size: Annotated[int, Field(ge=50, le=100_000)] = 700
    chunk_overlap: Annotated[int, Field(ge=0)] = 110
    template: str = "$title\n$chunk"
    splitter: Splitter = "recursive"
    index: Index = "halfvec"
    storage: Storage = "vector"

    @model_validator(mode="after")
    def _consistent(self) -> "SpaceSettings":
        if self.chunk_overlap >= self.chunk_size:
            raise ValueError("CHUNK_OVERLAP must be smaller than CHUNK_SIZE")
        if "$chunk" not in self.template:
            raise ValueError("TEMPLATE must contain '$chunk'")
        return self


class WorkerSettings(_Strict):
    """How the worker takes its work."""

    relay_batch_size: Annotated[int, Field(ge=1, le=10_000)] = 500
    embed_batch_size: Annotated[int, Field(ge=1, le=2048)] = 200
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    poll_interval: Annotated[float, Field(gt=0, le=60)] = 0.03
    heartbeat_seconds: Annotated[float, Field(gt=0)] = 3
    dead_after: Annotated[float, Field(gt=0)] = 15
    lease_seconds: Annotated[float, Field(ge=1)] = 3600
    max_attempts: Annotated[int, Field(ge=1)] = 8
    retry_delay: Annotated[float, Field(gt=0)] = 5
    retry_delay_max: Annotated[float, Field(gt=0)] = 900
    max_document_characters: Annotated[int, Field(ge=1)] = 1_000_000

    @model_validator(mode="after")
    def _consistent(self) -> "WorkerSettings":
        if self.dead_after < 2 * self.heartbeat_seconds:
            raise ValueError("DEAD_AFTER must be at least twice HEARTBEAT_SECONDS")
        return self


class SearchSettings(_Strict):
    """Limits and plan thresholds of search."""

    max_limit: Annotated[int, Field(ge=1)] = 1000
    max_query_characters: Annotated[int, Field(ge=1)] = 10_000
    exact_below: Annotated[int, Field(ge=0)] = 15_000
    query_cache_size: Annotated[int, Field(ge=0)] = 1024
    language: str = ""
    bm25_k1: Annotated[float, Field(ge=0, le=10)] = 1.2
    bm25_b: Annotated[float, Field(ge=0, le=1)] = 0.75
    dense_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    max_pending: Annotated[int, Field(ge=0, le=100_000)] = 1000


class ReactionSettings(_Strict):
    """How the worker runs reactions."""

    concurrency: Annotated[int, Field(ge=0, le=64)] = 4
    timeout: Annotated[float, Field(gt=0)] = 300
    max_attempts: Annotated[int, Field(ge=1)] = 5
    retry_delay: Annotated[float, Field(gt=0)] = 5
    retry_delay_max: Annotated[float, Field(gt=0)] = 900
    max_depth: Annotated[int, Field(ge=1, le=100)] = 5
    keep_days: Annotated[float, Field(ge=0)] = 7


class ProviderSettings(_Strict):
    """A server that speaks OpenAI's chat completions; ``api_key_env`` names the environment variable of its key."""

    base_url: Annotated[str, Field(pattern=r"https?://.+")]
    api_key_env: str | None = None


class BudgetSettings(_Strict):
    """What one day may bring; None is no bound."""

    runs: Annotated[int, Field(ge=0)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    cost: Annotated[Decimal, Field(ge=0)] | None = None


class AgentsSettings(_Strict):
    """How agents run, and what they may spend."""

    model: str = ""
    providers: dict[str, ProviderSettings] = {}
    timeout: Annotated[float, Field(gt=0)] = 60
    max_retries: Annotated[int, Field(ge=0, le=20)] = 2
    retry_delay: Annotated[float, Field(ge=0)] = 1
    request_limit: Annotated[int, Field(ge=1)] = 50
    token_limit: Annotated[int, Field(ge=1)] | None = None
    tool_calls_limit: Annotated[int, Field(ge=0)] | None = None
    budget_per_user: BudgetSettings = BudgetSettings()
    budget_per_agent: BudgetSettings = BudgetSettings()
    budget_total: BudgetSettings = BudgetSettings()
    heartbeat_seconds: Annotated[float, Field(gt=0)] = 5
    dead_after: Annotated[float, Field(gt=0)] = 60
    max_attempts: Annotated[int, Field(ge=1)] = 3
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    task_backend: str = "default"
    task_queue: str = "default"
    orm: dict[str, list[str]] = {}
    files_root: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "AgentsSettings":
        if self.dead_after < 2 * self.heartbeat_seconds:
            raise ValueError("DEAD_AFTER must be at least twice HEARTBEAT_SECONDS")
        return self


class ChatSettings(_Strict):
    """What a chat searches, tells the model and remembers."""

    model: str = ""
    passages: Annotated[int, Field(ge=1, le=50)] = 6
    min_similarity: Annotated[float, Field(ge=-1, le=1)] = 0.3
    context_tokens: Annotated[int, Field(ge=1)] = 4000
    history_tokens: Annotated[int, Field(ge=0)] = 2000
    max_question_characters: Annotated[int, Field(ge=1)] = 4000


class ApiSettings(_Strict):
    """Who may ask the REST API how much."""

    routers: dict[str, str] = {
        "knowledge/": "pgknowbase.api.knowledge.router",
        "orchestrator/": "pgknowbase.api.orchestrator.router",
        "chat/": "pgknowbase.chat.routes.router",
    }
    anonymous_search: bool = True
    anonymous_rate: Rate = "60/minute"
    user_rate: Rate = "600/minute"
    token_rate: Rate = "600/minute"  # noqa: S105 - a rate
    proxies: Annotated[int, Field(ge=0)] = 0
    max_limit: Annotated[int, Field(ge=1)] = 100
    max_body_bytes: Annotated[int, Field(ge=1)] = 262_144
    idempotency_hours: Annotated[float, Field(gt=0)] = 24


class Settings(_Strict):
    """All of ``settings.PGKNOWBASE``."""

    database: str = "default"
    embeddings: dict[str, EmbeddingSettings]
    space: SpaceSettings = SpaceSettings()
    spaces: dict[str, SpaceSettings] = {}
    worker: WorkerSettings = WorkerSettings()
    search: SearchSettings = SearchSettings()
    reactions: ReactionSettings = ReactionSettings()
    agents: AgentsSettings = AgentsSettings()
    api: ApiSettings = ApiSettings()
    chat: ChatSettings = ChatSettings()

    @model_validator(mode="before")
    @classmethod
    def _named_space(cls, raw: Any) -> Any:
        name = raw.get("SPACE") if isinstance(raw, dict) else None
        if not isinstance(name, str):
            return raw
        spaces = raw.get("SPACES")
        if not isinstance(spaces, dict) or name not in spaces:
            raise ValueError(f"SPACE names {name!r}, which SPACES does not have")
        return {**raw, "SPACE": spaces[name]}

    @model_validator(mode="after")
    def _known_alias(self) -> "Settings":
        if self.space.embedding not in self.embeddings:
            raise ValueError(f"SPACE names the embedding {self.space.embedding!r}, which EMBEDDINGS does not have")
        for name, space in self.spaces.items():
            if space.embedding not in self.embeddings:
                raise ValueError(
                    f"SPACES[{name!r}] names the embedding {space.embedding!r}, which EMBEDDINGS does not have"
                )
            if not NAME.fullmatch(name):
                raise ValueError(f"SPACES[{name!r}]: use up to 40 lowercase letters, digits, '_' and '-' as its name")
        return self

    @property
    def space_name(self) -> str:
        """The name in SPACES of the space that SPACE asks for, else 'default'."""
        return next((name for name, space in self.spaces.items() if space == self.space), "default")


# What was validated last, as it was then: validating again takes longer than comparing.
_validated: tuple[Any, Settings | None] = (None, None)


def get_settings() -> Settings:
    """The validated settings.

    Raises:
        ConfigurationError: ``settings.PGKNOWBASE`` is missing or wrong; the message lists each fault.
    """
    raw = getattr(django_settings, "PGKNOWBASE", None)
    if not isinstance(raw, dict):
        raise ConfigurationError(
            "settings.PGKNOWBASE is missing: add a dict with at least EMBEDDINGS (see docs/settings.md)."
        )
    seen, settings = _validated
    return settings if settings is not None and seen == raw else _validate(raw)


def _validate(raw: dict[str, Any]) -> Settings:
    global _validated
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{_place(fault['loc'])}: {_reason(fault)}" for fault in error.errors())
        raise ConfigurationError(
            f"settings.PGKNOWBASE is wrong: {faults}. Correct it (see docs/settings.md)."
        ) from error
    _validated = _copied(raw), settings
    return settings


def _copied(value: Any) -> Any:
    """``value`` with copies of its dicts and lists, which somebody may change in place."""
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "PGKNOWBASE"


def _reason(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown key"
    if fault["type"] == "missing":
        return "missing"
    reason = str(fault["msg"]).removeprefix("Value error, ")
    return (
        f"{reason}, got {fault['input']!r}"
        if fault["loc"] and isinstance(fault["input"], str | int | float)
        else reason
    )
