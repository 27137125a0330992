"""What is missing where a search on a page found nothing, for those who may know."""

from collections.abc import Sequence

from pgknowbase.conf import get_settings
from pgknowbase.core.command_line import command_line
from pgknowbase.search.filters import Filters, Options
from pgknowbase.search.nothing_found import nothing_found
from pgknowbase.search.questions import SearchQuery
from pgknowbase.search.visibility import Viewer, viewer_param
from pgknowbase.sources.registry import Source, content_type_ids


def hints(searched: Sequence[Source], question: SearchQuery, viewer: Viewer) -> list[str]:
    """Each thing that is missing, and what to do about it.

    >>> hints([source_of(Note)], SearchQuery(query="gears"), None)
    ["no worker is running: start 'manage.py pgknowbase_worker'"]
    """
    using = get_settings().database
    if not searched:
        return ["No model is a source model: let one inherit from ExternalDataMixin."]
    ids = content_type_ids(searched, using)
    if not ids:
        return [f"No source model has its tables: run {command_line('migrate', using)!r}."]
    options = Options(
        metadata=question.metadata,
        tags=question.tags,
        changed_from=question.changed_from,
        changed_before=question.changed_before,
        visible_to=viewer,
    )
    filters = Filters.of(options, sources=ids, visible_to=viewer_param(viewer))
    nothing = nothing_found(using, filters, best=None)
    names = ", ".join(str(source.model._meta.verbose_name_plural) for source in searched)
    if not (nothing.indexed or nothing.changes):
        if not any(source.model._base_manager.using(using).exists() for source in searched):
            return [f"There are no rows to find: {names}."]
        return [
            f"There are rows, but the index knows none of them: run {command_line('sync_external_models', using)!r}."
        ]
    return [f"{reason[0].upper()}{reason[1:]}." for reason in nothing.reasons()]
