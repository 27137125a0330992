"""The router of agents, and what its routes have in common: who acts, and whose rows they see."""

from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from ninja import Router

from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.recording.database import alias
from pgknowbase.api.callers import Caller, caller_of
from pgknowbase.api.orchestrator.shapes import ActingFor, Page
from pgknowbase.api.problems import Problem, unauthenticated
from pgknowbase.conf import get_settings

SCOPE = "agents"
APP = "pgknowbase_agents"
Row = TypeVar("Row", bound=Model)

router = Router(tags=["orchestrator"])


def signed_in(request: HttpRequest) -> Caller:
    """Who asks: a user, and with a token one for agents.

    Raises:
        Problem: 401 or 403.
    """
    caller = caller_of(request)
    caller.require(SCOPE)
    if caller.user is None:
        raise unauthenticated("Agents act for users: send a token or sign in.")
    return caller


def deps_for(request: HttpRequest, asked: ActingFor | None) -> tuple[Any, DjangoDeps]:
    """The user for whom to act, and what agents are told of them.

    Raises:
        Problem: 401, 403 or 422.
    """
    caller = signed_in(request)
    user = caller.acting_as(asked.user_id if asked else None)
    # The request and its session belong to who signed in: neither a token nor another user may have them.
    if caller.token is None and user is caller.user:
        return user, DjangoDeps.from_request(request)
    return user, DjangoDeps.from_user(user)


def visible(model: type[Row], caller: Caller, *, owner: str = "user_id") -> QuerySet[Row]:
    """Rows of the caller, or all for those with the permission to view them."""
    rows = model._default_manager.using(alias())
    if may(caller, "view", model):
        return rows
    return rows.filter(**{owner: caller.user.pk if caller.user else None})


def own_or_granted(caller: Caller, row: Any) -> Any:
    """The row, if it is the caller's own or the caller may change those of others.

    Raises:
        Problem: 403.
    """
    own = caller.user is not None and row.user_id == caller.user.pk
    if not own and not may(caller, "change", type(row)):
        needed = permission("change", type(row))
        raise Problem(403, "permission", f"{row.pk} is somebody else's, which needs {needed!r}: ask an administrator.")
    return row


def may(caller: Caller, action: str, model: type[Model]) -> bool:
    """Whether the caller holds a permission of the model."""
    return bool(caller.user and caller.user.has_perm(permission(action, model)))


def permission(action: str, model: type[Model]) -> str:
    """Its name, such as ``pgknowbase_agents.view_agentexecution``."""
    return f"{APP}.{action}_{model._meta.model_name}"


def paged(rows: QuerySet[Row], asked: Page) -> tuple[list[Row], int | None]:
    """One page of the rows, and where the next one begins.

    Raises:
        Problem: 422, the limit is too large.
    """
    most = get_settings().api.max_limit
    if asked.limit > most:
        raise Problem(422, "validation", f"limit {asked.limit} is out of range: pass a whole number from 1 to {most}.")
    found = list(rows[asked.offset : asked.offset + asked.limit + 1])
    more = asked.offset + asked.limit if len(found) > asked.limit else None
    return found[: asked.limit], more
