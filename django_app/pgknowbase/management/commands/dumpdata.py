"""``manage.py dumpdata``: Django's own, without the index, which the rows of a project are enough to make again."""

from typing import Any

from django.core.management.commands import dumpdata


class Command(dumpdata.Command):
    help = f"{dumpdata.Command.help} The tables of pgknowbase's index are left out unless they are named."

    def handle(self, *app_labels: str, **options: Any) -> None:
        """Dump the project.

        A dump of the index could not be loaded: its embeddings stand in tables that Django does not manage, and events
        of the dump would replace those that the triggers write while its rows are loaded.
        """
        if not app_labels:
            options["exclude"] = [*(options["exclude"] or ()), "pgknowbase"]
        super().handle(*app_labels, **options)
