"""What users, agents and all runs may spend in a day, asked before the first request."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from pgknowbase import gateway
from pgknowbase.agents.models import AgentBudget, AgentExecution
from pgknowbase.conf import get_settings
from pgknowbase.errors import BudgetExceededError


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose budget it is, which runs count, and the bounds."""

    who: str
    runs_of: Q
    runs: int | None
    tokens: int | None
    cost: Decimal | None

    @property
    def bounded(self) -> bool:
        """Whether there is anything to keep."""
        return (self.runs, self.tokens, self.cost) != (None, None, None)


@dataclass(frozen=True, kw_only=True)
class Left:
    """What one run may still take; None is no bound."""

    tokens: int | None = None
    cost: Decimal | None = None


def scopes(using: str, agent_name: str, user_id: Any) -> list[Scope]:
    """The budgets that bound a run, in the order in which they are locked."""
    return sorted((each for each in _scopes(using, agent_name, user_id) if each.bounded), key=lambda each: each.who)


def left(using: str, bounds: Iterable[Scope]) -> Left:
    """What today's budgets leave for a run that begins now; call it in the transaction that writes its row.

    Raises:
        BudgetExceededError: nothing is left of one of them.
    """
    tokens: list[int] = []
    cost: list[Decimal] = []
    for scope in bounds:
        # One at a time: two runs that begin together must not both take the last one.
        gateway.fetch(using, gateway.LOCK_NAME, f"pgknowbase budget {scope.who}")
        spent = _spent(using, scope)
        for name, bound in (("runs", scope.runs), ("tokens", scope.tokens), ("cost", scope.cost)):
            if bound is not None and spent[name] >= bound:
                raise BudgetExceededError(
                    f"The budget of {scope.who} for today is used up: {spent[name]} of {bound} {name}. Wait until"
                    " tomorrow or raise it (see docs/agents.md#budgets)."
                )
        tokens += [] if scope.tokens is None else [scope.tokens - spent["tokens"]]
        cost += [] if scope.cost is None else [scope.cost - spent["cost"]]
    return Left(tokens=min(tokens, default=None), cost=min(cost, default=None))


def _scopes(using: str, agent_name: str, user_id: Any) -> Iterator[Scope]:
    settings = get_settings().agents
    by_agent, by_user = Q(agent_name=agent_name), Q(user_id=user_id)
    wanted = Q(user=None, agent_name=agent_name)
    if user_id is not None:
        wanted |= Q(user_id=user_id, agent_name__in=("", agent_name))
    rows = {(row.user_id, row.agent_name): row for row in AgentBudget.objects.using(using).filter(wanted)}
    agents = rows.get((None, agent_name), settings.budget_per_agent)
    yield Scope(who=f"agent {agent_name!r}", runs_of=by_agent, runs=agents.runs, tokens=agents.tokens, cost=agents.cost)
    if user_id is not None:
        users: Any = rows.get((user_id, ""), settings.budget_per_user)
        yield Scope(who=f"user {user_id!r}", runs_of=by_user, runs=users.runs, tokens=users.tokens, cost=users.cost)
        if both := rows.get((user_id, agent_name)):
            who = f"user {user_id!r} with agent {agent_name!r}"
            yield Scope(who=who, runs_of=by_agent & by_user, runs=both.runs, tokens=both.tokens, cost=both.cost)
    total = settings.budget_total
    yield Scope(who="all runs", runs_of=Q(), runs=total.runs, tokens=total.tokens, cost=total.cost)


def _spent(using: str, scope: Scope) -> dict[str, Any]:
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    found = (
        AgentExecution.objects.using(using)
        .filter(scope.runs_of, started_at__gte=today)
        .aggregate(runs=Count("pk"), tokens=Sum("tokens_used"), cost=Sum("cost"))
    )
    return {"runs": found["runs"], "tokens": found["tokens"] or 0, "cost": found["cost"] or Decimal(0)}
