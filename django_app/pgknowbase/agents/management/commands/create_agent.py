"""``manage.py create_agent``: store an agent in the database."""

import shlex
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import CommandParser

from pgknowbase.agents.definitions import build_agent, new_definition
from pgknowbase.agents.management.arguments import find_user
from pgknowbase.agents.models import AgentDefinition, AgentKind
from pgknowbase.agents.registry import agents, check_name
from pgknowbase.agents.runs.database import alias
from pgknowbase.agents.toolsets import TOOLSETS
from pgknowbase.core.commands import KnowbaseCommand
from pgknowbase.errors import AgentError, PgKnowbaseError


class Command(KnowbaseCommand):
    help = "Store an agent in the database, with the instructions and tool sets of its type."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="of the agent: up to 200 printable characters except '/'")
        parser.add_argument(
            "--type",
            required=True,
            choices=AgentKind.values,
            dest="kind",
            help="'content', 'data', 'business' or 'custom'",
        )
        parser.add_argument("--instructions", help="instead of those of its type")
        parser.add_argument("--description", default="", help="what the agent is for, shown in lists")
        parser.add_argument("--model", default="", help='instead of AGENTS["MODEL"]')
        parser.add_argument(
            "--toolset",
            action="append",
            choices=sorted(TOOLSETS),
            dest="toolsets",
            help="tool set, instead of those of its type; repeat for more",
        )
        parser.add_argument("--owner", help="name or id of a user who may use it")
        parser.add_argument("--public", action="store_true", help="every signed-in user may use it")

    def handle(self, *, name: str, kind: str, owner: str | None, public: bool, **options: Any) -> None:
        check_name(name)
        using = alias()
        if name in agents or AgentDefinition.objects.using(using).filter(name=name).exists():
            raise AgentError(f"Agent {name!r} exists already: choose another name.")
        kept = ("instructions", "description", "model", "toolsets")
        definition = new_definition(
            name,
            kind,
            owner=find_user(owner) if owner else None,
            is_public=public,
            **{each: options[each] for each in kept},
        )
        definition.save(using=using)
        self.stdout.write(f"Created agent {name!r}.")
        try:
            async_to_sync(build_agent(definition).check_model)()
        except (PgKnowbaseError, ImportError) as error:
            self.stdout.write(f"It cannot run yet. {error}")
        else:
            self.stdout.write(f'Run it: manage.py run_agent {shlex.quote(name)} "..."')
