"""``settings.PGKNOWBASE`` as typed values. They are read at each use, so ``override_settings`` works.

The description of each key is written here and nowhere else: ``python -m docs.settings_tables`` makes the tables of
docs/settings.md from it. Durations are in seconds, as in Django's own settings, unless a name says otherwise. A value
that no user could choose on evidence is a constant beside the code that uses it, not a setting.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from string import Template
from typing import Annotated, Any, Literal

from django.conf import settings as django_settings
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pgknowbase.errors import ConfigurationError
from pgknowbase.sources.synonyms import Synonyms

SPACE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

Name = Annotated[str, Field(min_length=1)]
Rate = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,8}/(second|minute|hour|day))?$")]
SPLITTERS = ("recursive", "markdown", "code", "none")
Index = Literal["halfvec", "binary"]
Storage = Literal["vector", "halfvec"]
IfServerDown = Literal["error", "partial"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=str.upper)


class EmbeddingSettings(_Section):
    """One entry of ``EMBEDDINGS``: an embedding backend and its model."""

    backend: str = Field(description="dotted path of the embedder class, see [embeddings.md](embeddings.md)")
    model: Name = Field(description="name of the model, as the backend knows it")
    dimensions: int = Field(ge=1, le=4000, description="length of its vectors")
    options: dict[str, Any] = Field({}, description="further keyword arguments of the embedder class")
    requests_per_minute: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="calls that all workers together may make to this model, see [rates](worker.md#rates); `None`: as"
        " the provider's headers say",
    )
    texts_per_minute: Annotated[float, Field(gt=0)] | None = Field(
        None, description="the same for texts, of a provider such as Cohere that counts them"
    )
    tokens_per_minute: Annotated[float, Field(gt=0)] | None = Field(None, description="the same for tokens")


class OwnSplitter(_Section):
    """A splitter with separators of one's own, as pgai has them.

    Attributes:
        separators: where a text is cut, the first choice first.
        regex: whether they are regular expressions.
        recursive: False for pgai's character splitter, which knows one separator, and leaves it out of the chunks.
    """

    separators: Annotated[tuple[str, ...], Field(min_length=1)]
    regex: bool = False
    recursive: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> "OwnSplitter":
        if not self.recursive and len(self.separators) != 1:
            raise ValueError("SEPARATORS must hold one separator where RECURSIVE is False")
        if self.regex:
            for separator in self.separators:
                try:
                    re.compile(separator)
                except re.error as error:
                    raise ValueError(f"the separator {separator!r} is not a regular expression: {error}") from error
        return self


class SpaceSettings(_Section):
    """An embedding space: which backend embeds, how documents are split, and how vectors are stored and indexed."""

    embedding: str = Field("default", description="alias in `EMBEDDINGS`")
    chunk_size: int = Field(700, ge=50, le=100_000, description="largest number of characters in a chunk")
    chunk_overlap: int = Field(
        110, ge=0, description="characters that adjacent chunks share; must be smaller than `CHUNK_SIZE`"
    )
    template: str = Field(
        "$title\n$chunk", description="text that is embedded for a chunk, with `$chunk` and optionally `$title`"
    )
    splitter: str = Field(
        "recursive",
        description="where documents are split: `recursive`, `markdown`, `code`, `none`, or a dict with `SEPARATORS`,"
        " see [splitters](spaces.md#splitters)",
    )
    index: Index = Field(
        "halfvec", description="type of the vector index, see [binary](spaces.md#binary-indexes-and-halfvec-stores)"
    )
    storage: Storage = Field(
        "vector", description="column type of the stored vectors: 4 bytes a component (`vector`) or 2 (`halfvec`)"
    )

    distributed: bool = Field(
        False, description="spread the chunk store over the servers of a [Citus cluster](scaling.md#cluster)"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "SpaceSettings":
        if self.distributed and self.index == "binary":
            raise ValueError("DISTRIBUTED goes with the INDEX 'halfvec' alone")
        if self.chunk_overlap >= self.chunk_size:
            raise ValueError("CHUNK_OVERLAP must be smaller than CHUNK_SIZE")
        return self

    @field_validator("splitter", mode="before")
    @classmethod
    def _named_or_own(cls, splitter: Any) -> str:
        """A name, or the JSON of an ``OwnSplitter``, which is how the database keeps it."""
        if isinstance(splitter, dict):
            return OwnSplitter.model_validate(splitter).model_dump_json(by_alias=True)
        if isinstance(splitter, str) and splitter.startswith("{"):
            return OwnSplitter.model_validate_json(splitter).model_dump_json(by_alias=True)
        if splitter not in SPLITTERS:
            raise ValueError(f"SPLITTER must be one of {', '.join(SPLITTERS)}, or a dict with SEPARATORS")
        return str(splitter)

    @field_validator("template")
    @classmethod
    def _in_one_spelling(cls, template: str) -> str:
        """With ``$chunk`` for ``${chunk}``, and that once: a chunk's place is found by what stands before it."""
        found = [match["named"] or match["braced"] for match in Template.pattern.finditer(template)]
        if found.count("chunk") != 1:
            raise ValueError("TEMPLATE must contain '$chunk', and that once")
        if unknown := [name or "$" for name in found if name not in ("chunk", "title")]:
            raise ValueError(f"TEMPLATE has {unknown[0]!r} after a '$': use '$chunk' and '$title', and no other '$'")
        spelled = template.replace("${chunk}", "$chunk").replace("${title}", "$title")
        if Template(spelled).get_identifiers() != Template(template).get_identifiers():
            raise ValueError("TEMPLATE must have a character other than a letter after '${chunk}' and '${title}'")
        return spelled


class RetryPolicy(_Section):
    """How often failing work is attempted, and the delay between two attempts.

    Each section has defaults of its own, so a project may set one key and keep the others.
    """

    max_attempts: int = Field(
        8, ge=1, description="attempts, the first included; after the last one the work is a dead letter"
    )
    delay: float = Field(5, gt=0, description="seconds before the second attempt; each further delay is twice as long")
    max_delay: float = Field(900, gt=0, description="upper bound of the delay, in seconds")


class ReactionRetryPolicy(RetryPolicy):
    """Runs of one reaction for one change."""

    max_attempts: int = Field(5, ge=1)


class AgentRetryPolicy(RetryPolicy):
    """Requests to a language model's provider, whose caller waits meanwhile."""

    max_attempts: int = Field(3, ge=1, le=21)
    delay: float = Field(1, gt=0)
    max_delay: float = Field(60, gt=0)


class WorkerSettings(_Section):
    """The worker: relay, keyword index and vectorizer."""

    concurrency: int = Field(1, ge=1, le=64, description="concurrent calls to the embedding provider, per worker")
    heartbeat_timeout: float = Field(
        15,
        gt=0,
        description="seconds without a heartbeat after which a worker counts as dead and its leased documents are"
        " released; use the same value for all workers",
    )
    retry: RetryPolicy = Field(
        RetryPolicy(), description="attempts to render a row, and the delays of an embedding provider that fails"
    )
    max_document_characters: int = Field(
        1_000_000,
        ge=1,
        description="largest text, description, metadata (as JSON) or tags (together) that a hook may return; a larger"
        " value fails its row",
    )
    max_kept_vectors: int = Field(
        50_000,
        ge=0,
        le=100_000_000,
        description="vectors kept for texts that no chunk has: of unfinished documents and of dropped spaces, the"
        " [oldest go first](worker.md#what-was-paid-for); 50,000 of 1,536 dimensions are 300 MB",
    )


class PriceSettings(_Section):
    """What a model costs, in US dollars for a million tokens. A number alone is the price of input."""

    input: Annotated[Decimal, Field(ge=0)] = Field(description="of what the model reads")

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, raw: Any) -> Any:
        return raw if isinstance(raw, dict) else {"INPUT": raw}


class CapSettings(_Section):
    """The most that embedding may use in a day or month. At least one of ``TOKENS`` and ``COST``."""

    model: str = Field("", description="name of the model; empty: of each model")
    tenant: str = Field("", description='name of the tenant; `"*"`: of each tenant; empty: of all together')
    per: Literal["day", "month"] = Field(description="`day` or `month`, in the project's time zone")
    tokens: Annotated[int, Field(ge=0)] | None = Field(None, description="most tokens")
    cost: Annotated[Decimal, Field(ge=0)] | None = Field(None, description="most money, in US dollars")
    backfill: float = Field(
        0.8,
        ge=0,
        le=1,
        description="share of it at which backfills and spaces that are not active pause, so that fresh writes have the"
        " rest",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> "CapSettings":
        if self.tokens is None and self.cost is None:
            raise ValueError("a cap needs TOKENS or COST")
        return self

    def concerns(self, tenant: str) -> bool:
        """Whether it caps what this tenant uses; that of nobody ('') only with all together."""
        return self.tenant in ("", tenant) or (self.tenant == "*" and tenant != "")


class CostSettings(_Section):
    """Prices, who pays, and what embedding may use."""

    prices: dict[str, PriceSettings] = Field(
        {},
        description="US dollars for a million tokens by the name of the embedding model; for others those that the"
        " package genai-prices knows, else the cost is unknown",
    )
    tenant: str = Field(
        "", description="dotted path of a function that names the tenant, see [tenants](costs.md#tenants)"
    )
    caps: list[CapSettings] = Field([], description="what embedding may use in a day or month, see `CAPS`")


class SearchSettings(_Section):
    """Limits and plan thresholds of search."""

    max_limit: int = Field(1000, ge=1, description="largest `limit` of a search")
    exact_search_max_chunks: int = Field(
        15_000,
        ge=0,
        description="number of chunks up to which a search compares all of them instead of using the vector index:"
        " those of the whole index, or those that pass its filters",
    )
    if_server_down: IfServerDown = Field(
        "error",
        description="what a search does while a server of a [cluster](scaling.md#cluster) does not answer: `error`"
        " raises, `partial` answers from the others and says so",
    )
    language: str = Field(
        "",
        description='text search configuration of rows that name none, such as `"english"`; empty: it is'
        " [detected for each text](models.md#language)",
    )
    synonyms: Synonyms = Field(
        (),
        description="[synonyms](searching.md#synonyms) in queries for all models, such as"
        ' `[("pg", "postgres"), {"db": ["database"]}]`',
    )
    dense_weight: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="weight of the semantic score in hybrid search, against one minus it for the keyword score; `None`:"
        " the weight that [`pgknowbase_tune weight`](commands.md#pgknowbase_tune) saved, else what suits the model",
    )


class RerankerSettings(_Section):
    """One entry of ``RERANKERS``: a second stage of searches, and what it may take."""

    backend: str = Field(description="dotted path of the reranker class, see [reranking.md](reranking.md)")
    model: Name = Field(description="name of the model, as the backend knows it")
    options: dict[str, Any] = Field({}, description="further keyword arguments of the reranker class")
    candidates: int = Field(
        30, ge=2, le=1000, description="best hits of the first stage that it puts into a new order; the others follow"
    )
    timeout: float = Field(
        1, gt=0, le=30, description="seconds that it may take; after them the order of the first stage stays"
    )


class FreshnessSettings(_Section):
    """What a search with a freshness token does while a replica, or the index, is behind."""

    timeout: float = Field(1, ge=0, le=30, description="seconds to wait for a replica and for the index, together")
    if_stale: Literal["primary", "pending", "error"] = Field(
        "primary",
        description="what is done then: `primary` asks the primary, `pending` answers and says so, `error` raises",
    )


class ReactionSettings(_Section):
    """How the worker runs reactions."""

    concurrency: int = Field(
        4, ge=0, le=64, description="concurrent runs, per worker; 0 leaves reactions to other workers"
    )
    timeout: float = Field(300, gt=0, description="longest duration of a run, in seconds")
    retry: ReactionRetryPolicy = Field(ReactionRetryPolicy(), description="runs of one reaction for one change")
    max_chain_length: int = Field(
        5, ge=1, le=100, description="longest chain of reactions that trigger each other; the next delivery is refused"
    )
    retention_days: float = Field(7, ge=0, description="days for which completed and cancelled runs are kept")


class ProviderSettings(_Section):
    """One entry of ``PROVIDERS``: a server with OpenAI's chat completions API."""

    base_url: Annotated[str, Field(pattern=r"https?://.+")] = Field(description="URL of the API, with its version")
    api_key_env: str | None = Field(
        None, description="environment variable with the API key; `None`: the server needs no key"
    )


class BudgetSettings(_Section):
    """Limits of one day, in the project's time zone. None means unlimited."""

    runs: Annotated[int, Field(ge=0)] | None = Field(None, description="runs")
    tokens: Annotated[int, Field(ge=0)] | None = Field(None, description="tokens")
    cost: Annotated[Decimal, Field(ge=0)] | None = Field(None, description="cost, in US dollars")


class AgentsSettings(_Section):
    """How agents run, and how much they may use."""

    model: str = Field(
        "",
        description='model of agents that name none, such as `"openai:gpt-4o-mini"`; empty: such an agent cannot run',
    )
    providers: dict[str, ProviderSettings] = Field(
        {}, description="servers with OpenAI's chat completions API, by the prefix of model names, see below"
    )
    timeout: float = Field(60, gt=0, description="longest duration of a run, in seconds")
    retry: AgentRetryPolicy = Field(
        AgentRetryPolicy(),
        description="attempts of a request to a failing provider, of a tool call, and of an output that the model has"
        " to correct; a longer `Retry-After` of the provider is kept",
    )
    request_limit: int = Field(50, ge=1, description="model requests of one run")
    token_limit: Annotated[int, Field(ge=1)] | None = Field(None, description="tokens of one run")
    tool_calls_limit: Annotated[int, Field(ge=0)] | None = Field(None, description="successful tool calls of one run")
    budget_per_user: BudgetSettings = Field(
        BudgetSettings(), description="budget of each user for a day, see [budgets](agents.md#budgets)"
    )
    budget_per_agent: BudgetSettings = Field(BudgetSettings(), description="budget of each agent for a day")
    budget_total: BudgetSettings = Field(BudgetSettings(), description="budget of all runs together for a day")
    max_queued_runs: int = Field(
        100, ge=1, description="runs and workflows of one user that may wait for a worker; the next one is refused"
    )
    max_background_attempts: int = Field(3, ge=1, description="attempts of a background run whose workers die")
    workflow_concurrency: int = Field(4, ge=1, le=256, description="concurrent steps of one workflow")
    task_backend: str = Field("default", description="alias in Django's `TASKS` of the backend for background runs")
    task_queue: str = Field("default", description="name of the queue in that backend")
    orm_tool_models: dict[str, list[str]] = Field(
        {},
        description='fields that the tool set `orm` may read, by model: `{"library.Article": ["title", "year"]}`',
    )
    files_root: str = Field(
        "", description="absolute path below which the tool set `files` keeps a directory for each user"
    )


class ChatSettings(_Section):
    """What a chat retrieves, shows to the model and remembers."""

    model: str = Field("", description="model of chats; empty: `MODEL` of `AGENTS`; both empty: answers are passages")
    max_passages: int = Field(6, ge=1, le=50, description="most passages of one answer")
    min_similarity: float = Field(
        0.3,
        ge=-1,
        le=1,
        description="similarity that the best passage must reach, else"
        " [nothing is known](chat.md#when-nothing-is-known)",
    )
    context_tokens: int = Field(
        4000, ge=1, description="estimated tokens of all passages together; the best passage is always included"
    )
    history_tokens: int = Field(
        2000, ge=0, description="estimated tokens of the history; 0: every question stands alone"
    )


class ApiSettings(_Section):
    """Routers, rates and limits of the REST API."""

    routers: dict[str, str] = Field(
        {
            "knowledge/": "pgknowbase.api.knowledge.router",
            "orchestrator/": "pgknowbase.api.orchestrator.router",
            "chat/": "pgknowbase.chat.routes.router",
            "ui/": "pgknowbase.ui.routes.router",
        },
        description="django-ninja routers by path prefix; the default leaves out those whose apps"
        " (`pgknowbase.agents`, `pgknowbase.chat`) or extras are not installed",
    )
    anonymous_search: bool = Field(True, description="whether anonymous callers may search public rows")
    anonymous_rate: Rate = Field("60/minute", description="requests of one address without a valid token or session")
    user_rate: Rate = Field("600/minute", description="requests of one user by session")
    token_rate: Rate = Field("600/minute", description="requests of one token")
    trusted_proxies: int = Field(
        0, ge=0, description="your own proxies that append to `X-Forwarded-For`; 0: the header is ignored"
    )
    public_url: str = Field(
        "",
        pattern=r"^(https?://[^/?#\s]+)?$",
        description="the site as others reach it, such as `https://example.org`; empty: as the request says",
    )
    max_limit: int = Field(100, ge=1, description="largest `limit` of a request")
    max_streams: int = Field(
        10, ge=1, description="streams that a user, or an address without one, may have open at a time, in each process"
    )
    max_body_bytes: int = Field(262_144, ge=1, description="largest request body, in bytes")


class TelemetrySettings(_Section):
    """What is told of searches, embeddings, agents and the worker."""

    content: bool = Field(
        False, description="whether spans hold texts: queries, prompts, answers, arguments of tools, errors"
    )
    trace_changes: bool = Field(
        False, description="whether a change carries its trace to the worker; run `migrate` after a change of this"
    )
    record_plans: bool = Field(
        False, description="whether searches are counted by plan where no span records them; costs them a statement"
    )


class Settings(_Section):
    """All of ``settings.PGKNOWBASE``."""

    database: str = Field("default", description="alias in `DATABASES` of the Postgres with source tables and index")
    embeddings: dict[str, EmbeddingSettings] = Field(description="embedding backends by alias")
    rerankers: dict[str, RerankerSettings] = Field(
        {}, description="[second stages](reranking.md) of searches by alias; none is used until it is known to gain"
    )
    space: SpaceSettings = Field(
        SpaceSettings(),
        description="embedding space that the first `migrate` creates and `pgknowbase_space rebuild` returns to; or its"
        " name in `SPACES`",
    )
    spaces: dict[str, SpaceSettings] = Field(
        {}, description="further spaces by name, which [`pgknowbase_space add NAME`](spaces.md) creates"
    )
    query_timeout: Annotated[float, Field(gt=0)] | None = Field(
        5,
        description="seconds after which the queries on behalf of a caller are cancelled: those of a search, of a list"
        " of the REST API, of a tool; `None`: never",
    )
    anonymous_query_timeout: Annotated[float, Field(gt=0)] | None = Field(
        1, description="the same for callers who are not signed in, over REST and MCP; `None`: as `QUERY_TIMEOUT`"
    )
    worker: WorkerSettings = Field(WorkerSettings(), description="the [worker](worker.md)")
    costs: CostSettings = Field(CostSettings(), description="prices and [what was used](costs.md)")
    replicas: dict[str, list[Name]] = Field(
        {},
        description="aliases in `DATABASES` of [streaming replicas](scaling.md#replicas) that searches may ask: a list"
        " of those of `DATABASE`, or a dict of such lists by alias of the primary",
    )
    freshness: FreshnessSettings = Field(
        FreshnessSettings(), description="searches with a [freshness token](scaling.md#freshness)"
    )
    search: SearchSettings = Field(SearchSettings(), description="limits of [search](searching.md)")
    reactions: ReactionSettings = Field(ReactionSettings(), description="how [reactions](reactions.md) run")
    agents: AgentsSettings = Field(AgentsSettings(), description="how [agents](agents.md) run and what they may use")
    api: ApiSettings = Field(ApiSettings(), description="the [REST API](api.md)")
    chat: ChatSettings = Field(ChatSettings(), description="what a [chat](chat.md) retrieves and remembers")
    telemetry: TelemetrySettings = Field(
        TelemetrySettings(), description="[traces and metrics](telemetry.md) of OpenTelemetry and Prometheus"
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve_space_name(cls, raw: Any) -> Any:
        name = raw.get("SPACE") if isinstance(raw, dict) else None
        if not isinstance(name, str):
            return raw
        spaces = raw.get("SPACES")
        if not isinstance(spaces, dict) or name not in spaces:
            raise ValueError(f"SPACE names {name!r}, which SPACES does not have")
        return {**raw, "SPACE": spaces[name]}

    @model_validator(mode="before")
    @classmethod
    def _replicas_of_the_database(cls, raw: Any) -> Any:
        replicas = raw.get("REPLICAS") if isinstance(raw, dict) else None
        if not isinstance(replicas, list | tuple):
            return raw
        return {**raw, "REPLICAS": {raw.get("DATABASE", "default"): list(replicas)}}

    @model_validator(mode="after")
    def _replicas_are_others(self) -> "Settings":
        named = [alias for aliases in self.replicas.values() for alias in aliases]
        for alias in named:
            if named.count(alias) > 1 or alias in self.replicas or alias == self.database:
                raise ValueError(f"REPLICAS names {alias!r} twice, or a primary: name each replica of one primary once")
        return self

    @model_validator(mode="after")
    def _rerankers_have_names(self) -> "Settings":
        for name in self.rerankers:
            if name == "off" or not SPACE_NAME.fullmatch(name):
                raise ValueError(
                    f"RERANKERS names {name!r}: use up to 40 lowercase letters, digits, '_' and '-', and not 'off'"
                )
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> "Settings":
        if self.space.embedding not in self.embeddings:
            raise ValueError(f"SPACE names the embedding {self.space.embedding!r}, which EMBEDDINGS does not have")
        for name, space in self.spaces.items():
            if space.embedding not in self.embeddings:
                raise ValueError(
                    f"SPACES[{name!r}] names the embedding {space.embedding!r}, which EMBEDDINGS does not have"
                )
            if not SPACE_NAME.fullmatch(name):
                raise ValueError(f"SPACES[{name!r}]: use up to 40 lowercase letters, digits, '_' and '-' as its name")
        return self

    def primary_of(self, alias: str | None) -> str | None:
        """The primary that ``alias`` is a replica of, as ``REPLICAS`` says; None where it is not one."""
        return next((primary for primary, aliases in self.replicas.items() if alias in aliases), None)

    @property
    def space_name(self) -> str:
        """The name in ``SPACES`` of the space that ``SPACE`` selects, else 'default'."""
        return next((name for name, space in self.spaces.items() if space == self.space), "default")


# The last dict that was validated, copied because a test may change it in place, and its result. Comparing two dicts
# takes a few microseconds, validating one a few hundred, and each search reads several settings.
_validated: tuple[Any, Settings | None] = (None, None)
# Copies of one validated result for aliases that are active, by alias: making one takes as long as ten comparisons.
_of_aliases: tuple[Settings | None, dict[str, Settings]] = (None, {})
_active_database: ContextVar[str | None] = ContextVar("pgknowbase_database", default=None)


def get_settings() -> Settings:
    """The validated settings.

    Raises:
        ConfigurationError: ``settings.PGKNOWBASE`` is missing or invalid; the message lists every error.
    """
    raw = getattr(django_settings, "PGKNOWBASE", None)
    if not isinstance(raw, dict):
        raise ConfigurationError(
            "settings.PGKNOWBASE is missing: add a dict with at least EMBEDDINGS (see docs/settings.md)."
        )
    validated, settings = _validated
    if settings is None or validated != raw:
        settings = _validate(raw)
    alias = _active_database.get()
    return settings if alias is None else _of_alias(settings, alias)


def _of_alias(settings: Settings, alias: str) -> Settings:
    global _of_aliases
    made_of, copies = _of_aliases
    if made_of is not settings:
        copies = {}
        _of_aliases = settings, copies
    if alias not in copies:
        copies[alias] = settings.model_copy(update={"database": alias})
    return copies[alias]


def activate_database(alias: str | None) -> None:
    """Make ``alias`` the ``DATABASE`` of this thread or task from now on; None: that of the settings.

    For a middleware, as Django's ``timezone.activate``: a response that is streamed is made after the middleware.

    >>> activate_database("tenant_a")
    """
    _active_database.set(alias)


@contextmanager
def use_database(alias: str | None) -> Iterator[None]:
    """Make ``alias`` the ``DATABASE`` of this thread or task inside the block; None: that of the settings.

    >>> with use_database("tenant_a"):
    ...     search(SearchQuery(query="gears"), viewer=user)
    """
    token = _active_database.set(alias)
    try:
        yield
    finally:
        _active_database.reset(token)


def _validate(raw: dict[str, Any]) -> Settings:
    global _validated
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as invalid:
        errors = "; ".join(f"{_location(error['loc'])}: {_reason(error)}" for error in invalid.errors())
        raise ConfigurationError(
            f"settings.PGKNOWBASE is wrong: {errors}. Correct it (see docs/settings.md)."
        ) from invalid
    _validated = _copied(raw), settings
    return settings


def _copied(value: Any) -> Any:
    """``value`` with copies of its dicts and lists; other values, such as functions, may not be copyable."""
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def _location(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "PGKNOWBASE"


def _reason(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "missing"
    reason = str(error["msg"]).removeprefix("Value error, ")
    if error["loc"] and isinstance(error["input"], str | int | float):
        return f"{reason}, got {error['input']!r}"
    return reason
