"""Every pydantic model of pgknowbase in one place: ``from pgknowbase.schemas import SearchQuery, RunRequest``.

A model is imported with its own module when it is first asked for, because those of agents, chat and API need their
apps and extras.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "pgknowbase.sources.declaration": ("ExternalDataMetaConfig",),
    "pgknowbase.sync.requests": ("ExternalDataSyncRequest", "ExternalDataSyncResponse"),
    "pgknowbase.operations.estimate": ("Estimate",),
    "pgknowbase.operations.status": (
        *("IndexStatus", "ModelIntegrationStatus", "OutageStatus", "ReactionStatus", "SourceStatus"),
        *("SpaceStatus", "UnknownSourceStatus", "WorkerStatus"),
    ),
    "pgknowbase.costs.cap_status": ("CapStatus",),
    "pgknowbase.costs.report": ("CostReport", "CostRow"),
    "pgknowbase.search.questions": ("FacetQuery", "FreshQuery", "ObjectQuery", "QueryFilters", "SearchQuery"),
    "pgknowbase.search.facets": ("Facet", "FacetValue", "Facets"),
    "pgknowbase.search.schemas": ("FetchedDocument", "KnownObject", "SearchPage", "SearchResult", "Span"),
    "pgknowbase.api.problems": ("FieldProblem", "ProblemDetails"),
    "pgknowbase.api.knowledge": (
        *("CostParameters", "DocumentParameters", "FacetParameters", "FacetRequest", "SearchParameters"),
        *("SearchRequest", "SimilarParameters", "SimilarRequest"),
        *("SyncBatchRequest", "SyncBatchResponse", "SyncFailure"),
    ),
    "pgknowbase.api.orchestrator.schemas": (
        *("ActingFor", "AgentInfo", "AgentList", "Approval", "ApprovalFilter", "ApprovalPage", "DecisionRequest"),
        *("DecisionResult", "ExecutionDetail", "ExecutionFilter", "ExecutionPage", "ExecutionSummary", "RunFilter"),
        *("RunPartial", "RunRequest", "RunResult", "RunStarted", "RunText", "StepReport", "ToolCallDetail"),
        *("WorkflowDetail", "WorkflowFilter"),
        *("WorkflowInfo", "WorkflowList", "WorkflowPage", "WorkflowRequest", "WorkflowRunResult", "WorkflowSummary"),
    ),
    "pgknowbase.mcp.tools": ("FetchArguments", "SearchArguments", "SimilarArguments"),
    "pgknowbase.openai.errors": ("OpenAIError", "OpenAIErrorDetails"),
    "pgknowbase.openai.schemas": (
        *("Completion", "CompletionAnnotation", "CompletionAnswer", "CompletionChoice", "CompletionMessage"),
        *("CompletionMetadata", "CompletionModel", "CompletionModels", "CompletionPart", "CompletionRequest"),
        *("CompletionUsage", "EmbeddedText", "StreamOptions", "UrlCitation", "VectorsRequest", "VectorsResponse"),
        "VectorsUsage",
    ),
    "pgknowbase.chat.schemas": (
        *("ChatCitation", "ChatEntry", "ChatFound", "ChatMessagePage", "ChatPageParameters", "ChatQuestion"),
        *("ChatSessionDetail", "ChatSessionPage", "ChatSessionSummary", "ChatText", "ChatUsage", "CitedPassage"),
        "NewChatSession",
    ),
    "pgknowbase.ui.schemas": ("MessagesForAGUI", "MessagesForVercelAI", "VercelAIParameters"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    try:
        module = _MODULE_OF[name]
    except KeyError:
        raise AttributeError(f"pgknowbase.schemas has no {name!r}: use one of {', '.join(__all__)}.") from None
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return [*__all__]
