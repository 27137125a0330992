"""Search, fetch and similar as data in and out: what the REST API, the MCP server and agents offer."""

from pgknowbase.knowledge.results import FetchedDocument, SearchPage, SearchResult, Span
from pgknowbase.knowledge.service import Question, fetch, search, similar

__all__ = ["FetchedDocument", "Question", "SearchPage", "SearchResult", "Span", "fetch", "search", "similar"]
