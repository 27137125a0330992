"""Daily budgets of users, agents and all runs, checked before the first request of a run.

The check is in the transaction that inserts the run's row, so the number of runs is exact however many start at once.
Tokens and cost are known only when a run ends; therefore a run is also stopped at what was left when it started.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, Sum

from pgknowbase.agents.models import AgentBudget, AgentExecution, Status, WorkflowExecution
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.times import midnight
from pgknowbase.errors import BudgetExceededError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A daily budget: whose it is, which runs count against it, and its limits. A limit of None is unlimited."""

    owner: str
    counted: Q
    runs: int | None
    tokens: int | None
    cost: Decimal | None

    @property
    def is_limited(self) -> bool:
        """Whether any limit is set; a budget without limits costs no query."""
        return (self.runs, self.tokens, self.cost) != (None, None, None)


@dataclass(frozen=True, kw_only=True)
class RemainingBudget:
    """What one run may still use: tokens, and cost in US dollars. None is unlimited."""

    tokens: int | None = None
    cost: Decimal | None = None


def budgets_of(using: str, agent_name: str, user_id: Any) -> list[Budget]:
    """The budgets that limit a run, in the order in which ``remaining_budget`` locks them.

    The order is the same in every process, so that two runs with several budgets in common cannot deadlock.
    """
    limited = (each for each in _budgets(using, agent_name, user_id) if each.is_limited)
    return sorted(limited, key=lambda each: each.owner)


def remaining_budget(using: str, budgets: Iterable[Budget]) -> RemainingBudget:
    """What today's budgets leave for a run that starts now. Call it in the transaction that inserts the run's row.

    Raises:
        BudgetExceededError: one of them is used up.
    """
    tokens: list[int] = []
    cost: list[Decimal] = []
    for budget in budgets:
        # Runs that start at the same moment are counted one after the other: the lock is held until the row of this run
        # is committed, so two runs cannot both take the last one.
        gateway.fetch(using, "lock_name", name=f"pgknowbase budget {budget.owner}")
        spent = _spent_today(using, budget)
        for name, limit in (("runs", budget.runs), ("tokens", budget.tokens), ("cost", budget.cost)):
            if limit is not None and spent[name] >= limit:
                raise BudgetExceededError(
                    f"The budget of {budget.owner} for today is used up: {spent[name]} of {limit} {name}. Wait until"
                    " tomorrow or raise it (see docs/agents.md#budgets)."
                )
        tokens += [] if budget.tokens is None else [budget.tokens - spent["tokens"]]
        cost += [] if budget.cost is None else [budget.cost - spent["cost"]]
    return RemainingBudget(tokens=min(tokens, default=None), cost=min(cost, default=None))


def check_queue(using: str, agent_name: str, user_id: Any) -> None:
    """Refuse a run that would only wait: call it in the transaction that queues the run.

    A worker counts a run against its budgets when it starts it. Without this, one caller could queue any number.

    Raises:
        BudgetExceededError: the user has ``MAX_QUEUED_RUNS`` waiting, or those that wait will use up a budget of runs.
    """
    if user_id is not None:
        _check_waiting(using, user_id)
    waiting = Q(status=Status.PENDING, background=True, started_at=None)
    for budget in budgets_of(using, agent_name, user_id):
        if budget.runs is None:
            continue
        spent = _spent_today(using, budget)["runs"]
        ahead = AgentExecution.objects.using(using).filter(waiting, budget.counted).count()
        if spent + ahead >= budget.runs:
            raise BudgetExceededError(
                f"The budget of {budget.owner} for today is used up: {spent} of {budget.runs} runs, and {ahead} wait."
                " Wait until tomorrow or raise it (see docs/agents.md#budgets)."
            )


def _check_waiting(using: str, user_id: Any) -> None:
    gateway.fetch(using, "lock_name", name=f"pgknowbase queue of {user_id!r}")
    most = get_settings().agents.max_queued_runs
    waiting = Q(status=Status.PENDING, background=True, started_at=None, user_id=user_id)
    queued = sum(
        each.objects.using(using).filter(waiting)[:most].count() for each in (AgentExecution, WorkflowExecution)
    )
    if queued >= most:
        raise BudgetExceededError(
            f"User {user_id!r} has {queued} runs and workflows waiting, and {most} is the most: wait until some have"
            " run, or raise AGENTS['MAX_QUEUED_RUNS']."
        )


def _budgets(using: str, agent_name: str, user_id: Any) -> Iterator[Budget]:
    """Rows of ``AgentBudget`` go before the settings; a row for a user with an agent applies in addition to both."""
    settings = get_settings().agents
    by_agent, by_user = Q(agent_name=agent_name), Q(user_id=user_id)
    wanted = Q(user=None, agent_name=agent_name)
    if user_id is not None:
        wanted |= Q(user_id=user_id, agent_name__in=("", agent_name))
    rows = {(row.user_id, row.agent_name): row for row in AgentBudget.objects.using(using).filter(wanted)}
    yield _budget(f"agent {agent_name!r}", by_agent, rows.get((None, agent_name), settings.budget_per_agent))
    if user_id is not None:
        yield _budget(f"user {user_id!r}", by_user, rows.get((user_id, ""), settings.budget_per_user))
        if both := rows.get((user_id, agent_name)):
            yield _budget(f"user {user_id!r} with agent {agent_name!r}", by_agent & by_user, both)
    yield _budget("all runs", Q(), settings.budget_total)


def _budget(owner: str, counted: Q, limits: Any) -> Budget:
    return Budget(owner=owner, counted=counted, runs=limits.runs, tokens=limits.tokens, cost=limits.cost)


def _spent_today(using: str, budget: Budget) -> dict[str, Any]:
    """Runs, tokens and cost since midnight of the project's time zone. An unknown cost counts as nothing."""
    found = (
        AgentExecution.objects.using(using)
        .filter(budget.counted, started_at__gte=midnight())
        .aggregate(runs=Count("pk"), tokens=Sum("tokens_used"), cost=Sum("cost"))
    )
    return {"runs": found["runs"], "tokens": found["tokens"] or 0, "cost": found["cost"] or Decimal(0)}
