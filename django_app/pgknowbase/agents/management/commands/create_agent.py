"""``manage.py create_agent``: an agent that is kept in the database."""

from argparse import ArgumentParser
from typing import Any

from pgknowbase.agents.definitions import new_definition
from pgknowbase.agents.management.arguments import user_named
from pgknowbase.agents.models import AgentDefinition, AgentKind
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.registry import check_name, declared
from pgknowbase.agents.toolsets import TOOLSETS
from pgknowbase.errors import AgentError
from pgknowbase.management.base import KnowbaseCommand


class Command(KnowbaseCommand):
    help = "Keep an agent in the database; its kind gives it instructions and tools to begin with."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument("--type", required=True, choices=AgentKind.values, dest="kind")
        parser.add_argument("--instructions", help="instead of those of its kind")
        parser.add_argument("--description", default="")
        parser.add_argument("--model", default="", help="instead of that of the settings")
        parser.add_argument("--toolset", action="append", choices=sorted(TOOLSETS), dest="toolsets")
        parser.add_argument("--owner", help="name or id of the user who may use it")
        parser.add_argument("--public", action="store_true", help="every signed-in user may use it")

    def handle(self, *, name: str, kind: str, owner: str | None, public: bool, **options: Any) -> None:
        check_name(name)
        using = alias()
        if name in declared() or AgentDefinition.objects.using(using).filter(name=name).exists():
            raise AgentError(f"Agent {name!r} exists already: choose another name.")
        kept = ("instructions", "description", "model", "toolsets")
        definition = new_definition(
            name,
            kind,
            owner=user_named(owner) if owner else None,
            is_public=public,
            **{each: options[each] for each in kept},
        )
        definition.save(using=using)
        self.stdout.write(f'Created agent {name!r}. Run it: manage.py run_agent {name} "..."')
