"""``manage.py pgknowbase_space``: the embedding spaces, and the way from the active one to the settings'."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any, Literal

from django.core.management.base import CommandError

from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import as_table
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.spaces import SpaceSpec, accept_backend, rebuild_space


class Command(KnowbaseCommand):
    help = (
        "list: compare the embedding spaces with the settings. rebuild: drop the active space and embed everything anew"
        " as the settings say. accept: record the settings' backend as another way to the same vectors."
    )
    # The database check would refuse the very command that mends what it found.
    requires_system_checks = ["pgknowbase"]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("list", "rebuild", "accept"))
        parser.add_argument("--yes", action="store_true", help="do not ask before dropping embeddings")

    def handle(self, *, action: Literal["list", "rebuild", "accept"], yes: bool, **options: Any) -> None:
        using = get_settings().database
        if action == "list":
            self._list(using)
        elif action == "accept":
            self.stdout.write(f"Accepted: {accept_backend(using)}.")
        elif yes or self._agreed():
            space = rebuild_space(using)
            self.stdout.write(f"Created {space}; its documents are queued: let 'manage.py pgknowbase_worker' run.")
        else:
            raise CommandError("Nothing was changed.")

    def _list(self, using: str) -> None:
        wanted = SpaceSpec.from_settings()
        rows = [["(settings)", *asdict(wanted).values(), ""]]
        for space in EmbeddingSpace.objects.using(using).order_by("id"):
            rows.append([space.name, *asdict(SpaceSpec.of(space)).values(), "active" if space.is_active else ""])
        self.stdout.write(as_table(["space", *asdict(wanted), "state"], rows))

    def _agreed(self) -> bool:
        self.stdout.write(
            "This drops every embedding of the active space; searches find nothing until it is filled again."
        )
        try:
            return input("Type 'yes' to go on: ") == "yes"
        except EOFError as error:
            raise CommandError("Nobody is there to answer: pass --yes.") from error
