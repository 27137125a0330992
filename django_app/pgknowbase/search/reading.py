"""Which server a call of the search service reads, with all that belongs to it: a replica if there is one."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import TypeVar

from django.apps import apps

from pgknowbase.conf import get_settings
from pgknowbase.core.time_limit import time_limit
from pgknowbase.replicas.freshness import Freshness
from pgknowbase.replicas.reading import Reading
from pgknowbase.replicas.servers import chosen_by_routers, replicas_of
from pgknowbase.search.facets import Facets
from pgknowbase.search.questions import FreshQuery
from pgknowbase.search.schemas import FetchedDocument, SearchPage
from pgknowbase.search.visibility import Viewer, is_anonymous

Answer = TypeVar("Answer")
Page = TypeVar("Page", SearchPage, Facets, FetchedDocument)

# The server that the call in progress reads, with everything that belongs to it.
_reads_from: ContextVar[str | None] = ContextVar("pgknowbase_search_reads_from", default=None)


def reading(call: Callable[[str], Answer], freshness: Freshness | None = None) -> Answer:
    """What ``call`` returns for the alias of the server that it is to read: a replica if there is one.

    Calls of the service inside ``call`` read the same server.

    >>> reading(lambda using: (search_rows(question, viewer=user), Chunk.objects.using(using).count()))

    Raises:
        FreshnessError: ``freshness`` cannot be kept.
    """
    chosen = _reads_from.get()
    return call(chosen) if chosen is not None else _reading(freshness).run(_pinned(call))


def read_page(asked: FreshQuery, viewer: Viewer, call: Callable[[str], Page]) -> Page:
    """The same within the time limit of ``viewer``, for what says how fresh it is."""

    def limited(using: str) -> Page:
        with time_limit(using, anonymous=is_anonymous(viewer)):
            return call(using)

    if _reads_from.get() is not None:
        return reading(limited)
    place = _reading(asked.freshness and _bounded(asked.freshness, viewer))
    return place.run(_pinned(limited)).model_copy(update={"freshness": place.state})


def _reading(freshness: Freshness | None) -> Reading:
    database = get_settings().database
    first = chosen_by_routers(apps.get_model("pgknowbase", "ExternalData"))
    # The project's own routers may send its reads elsewhere; what users may see is read where it is kept.
    return Reading(database, first if first in replicas_of(database) else database, freshness)


def _bounded(freshness: Freshness, viewer: Viewer) -> Freshness:
    """The same, with a wait that a caller may cause: as long as its queries may take."""
    settings = get_settings()
    limits = (settings.query_timeout, settings.anonymous_query_timeout if is_anonymous(viewer) else None)
    return replace(freshness, timeout=min([freshness.timeout, *(each for each in limits if each is not None)]))


def _pinned(call: Callable[[str], Answer]) -> Callable[[str], Answer]:
    def run(using: str) -> Answer:
        token = _reads_from.set(using)
        try:
            return call(using)
        finally:
            _reads_from.reset(token)

    return run
