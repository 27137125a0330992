"""``manage.py run_agent``: one run of one agent."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from pgknowbase.agents.background import run_in_background
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.management.arguments import seconds, user_named
from pgknowbase.agents.recording.values import as_json as jsonable
from pgknowbase.agents.registry import get_agent
from pgknowbase.management.arguments import as_json
from pgknowbase.management.base import KnowbaseCommand


class Command(KnowbaseCommand):
    help = "Run an agent and show its output; --background leaves it to a worker of the queue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="of the agent")
        parser.add_argument("prompt")
        parser.add_argument("--user", help="name or id of the user to act for; default: nobody")
        parser.add_argument("--model", help="instead of the agent's")
        parser.add_argument("--timeout", type=seconds, help="seconds, instead of the agent's")
        parser.add_argument("--background", action="store_true", help="queue it and return at once")
        parser.add_argument("--format", choices=("text", "json"), default="text")

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
        person = user_named(user) if user else None
        deps = DjangoDeps.from_user(person)
        agent = get_agent(name, user=person)
        if background:
            if model or timeout:
                raise CommandError("A run in the background has its agent's model and timeout: leave them out.")
            row = run_in_background(name, prompt, deps=deps)
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
