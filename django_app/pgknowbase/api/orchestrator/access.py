"""The router of agents, and what its routes share: for whom they act, and whose rows the caller may see or change."""

from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from ninja import Router

from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.runs.budgets import budgets_of, remaining_budget
from pgknowbase.agents.runs.database import alias
from pgknowbase.api.authentication import Caller, get_caller
from pgknowbase.api.orchestrator.schemas import ActingFor, Page, RunFilter
from pgknowbase.api.problems import Problem, unauthenticated
from pgknowbase.conf import get_settings

SCOPE = "agents"
APP = "pgknowbase_agents"
Row = TypeVar("Row", bound=Model)

router = Router(tags=["orchestrator"])


def require_user(request: HttpRequest) -> Caller:
    """The caller, who must be a user, and with a token have the scope for agents.

    Raises:
        Problem: 401 or 403.
    """
    caller = get_caller(request)
    caller.require(SCOPE)
    if caller.user is None:
        raise unauthenticated("Agents act for users: send a token or sign in.")
    return caller


def deps_for(
    request: HttpRequest, acting_for: ActingFor | None, context: dict[str, Any] | None = None
) -> tuple[Any, DjangoDeps]:
    """The user for whom to act, and the deps of a run for them, with the ``context`` of the request's body.

    Raises:
        Problem: 401, 403 or 422.
    """
    caller = require_user(request)
    user = caller.acting_as(acting_for.user_id if acting_for else None)
    # The request and its session belong to the user who signed in: neither a token nor another user may have them.
    own_session = caller.token is None and user is caller.user
    deps = DjangoDeps.from_request(request) if own_session else DjangoDeps.from_user(user)
    if context is not None:
        deps.session_data = {**deps.session_data, "context": context}
    return user, deps


def check_budgets(agent_name: str, user_id: Any) -> None:
    """Refuse a run in the background at once, rather than let its worker refuse it: the budget is checked there again.

    Raises:
        BudgetExceededError: a budget of the agent or the user is used up.
    """
    with transaction.atomic(alias()):
        remaining_budget(alias(), budgets_of(alias(), agent_name, user_id))


def visible_rows(model: type[Row], caller: Caller, *, owner: str = "user_id") -> QuerySet[Row]:
    """The caller's own rows, or all rows for a caller with the permission to view them.

    ``owner``: the lookup from a row to the id of its user.
    """
    rows = model._default_manager.using(alias())
    if has_permission(caller, "view", model):
        return rows
    return rows.filter(**{owner: caller.user.pk if caller.user else None})


def require_change(caller: Caller, row: Any) -> None:
    """Check that a row is the caller's own, or that they may change those of others.

    Raises:
        Problem: 403.
    """
    own = caller.user is not None and row.user_id == caller.user.pk
    if not own and not has_permission(caller, "change", type(row)):
        needed = permission_name("change", type(row))
        raise Problem(
            403, "permission", f"{row.pk} belongs to somebody else, which needs {needed!r}: ask an administrator."
        )


def has_permission(caller: Caller, action: str, model: type[Model]) -> bool:
    """Whether the caller holds a permission of the model."""
    return bool(caller.user and caller.user.has_perm(permission_name(action, model)))


def permission_name(action: str, model: type[Model]) -> str:
    """The name of a permission, such as ``pgknowbase_agents.view_agentexecution``."""
    return f"{APP}.{action}_{model._meta.model_name}"


def narrow(rows: QuerySet[Row], filters: RunFilter) -> QuerySet[Row]:
    """The rows with the status and of the time that the filters name."""
    conditions = {
        "status": filters.status,
        "created_at__gte": filters.created_from,
        "created_at__lt": filters.created_before,
    }
    return rows.filter(**{name: value for name, value in conditions.items() if value is not None})


def paginate(rows: QuerySet[Row], page: Page) -> tuple[list[Row], int | None]:
    """One page of the rows, and the offset of the next one, None after the last.

    Raises:
        Problem: 422, the limit is too large.
    """
    most = get_settings().api.max_limit
    if page.limit > most:
        raise Problem(422, "validation", f"limit {page.limit} is out of range: pass a whole number from 1 to {most}.")
    # One row more than the page shows whether another page follows, without counting them all.
    found = list(rows[page.offset : page.offset + page.limit + 1])
    following = page.offset + page.limit if len(found) > page.limit else None
    return found[: page.limit], following
