"""``manage.py run_agent``: run an agent once."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgknowbase.agents import background as queue
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.management.arguments import find_user, positive_seconds
from pgknowbase.agents.registry import get_agent
from pgknowbase.agents.runs.json_values import as_json as jsonable
from pgknowbase.core.commands import KnowbaseCommand, as_json


class Command(KnowbaseCommand):
    help = "Run an agent and print its output; --background leaves the run to a worker of the task queue."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="name of the agent")
        parser.add_argument("prompt")
        parser.add_argument(
            "--user", help="name or id of the user to act for, who must be allowed to use the agent; default: none"
        )
        parser.add_argument("--model", help="instead of the agent's; not with --background")
        parser.add_argument(
            "--timeout", type=positive_seconds, help="seconds, instead of the agent's; not with --background"
        )
        parser.add_argument(
            "--background",
            action="store_true",
            help="leave the run to a worker of the task queue ('manage.py db_worker')",
        )
        parser.add_argument("--format", choices=("text", "json"), default="text", help="'text' or 'json'")

    def handle(
        self,
        *,
        name: str,
        prompt: str,
        user: str | None,
        model: str | None,
        timeout: float | None,
        background: bool,
        format: str,
        **options: Any,
    ) -> None:
        acting_user = find_user(user) if user else None
        deps = DjangoDeps.from_user(acting_user)
        agent = get_agent(name, user=acting_user)
        if background:
            if model or timeout:
                raise CommandError("A run in the background has its agent's model and timeout: leave them out.")
            row = queue.run_in_background(name, prompt, deps=deps)
            shown = {"execution_id": str(row.pk), "status": row.status}
            self.stdout.write(as_json(shown) if format == "json" else f"Queued as {row.pk}.")
            return
        result = agent.run_sync(prompt, deps=deps, model=model, timeout=timeout)
        if format == "json":
            figures = ("execution_id", "execution_time", "tokens_used", "cost")
            shown = {"output": jsonable(result.output), **{each: getattr(result, each) for each in figures}}
            self.stdout.write(as_json(shown))
            return
        output = result.output if isinstance(result.output, str) else as_json(jsonable(result.output))
        cost = "unknown cost" if result.cost is None else f"{result.cost} USD"
        self.stdout.write(output)
        self.stderr.write(f"{result.execution_id}: {result.execution_time:.2f} s, {result.tokens_used} tokens, {cost}")
