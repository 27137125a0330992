"""The base of pgknowbase's commands."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.utils import Error as DatabaseFault

from pgknowbase.conf import get_settings
from pgknowbase.database_errors import explain
from pgknowbase.errors import PgKnowbaseError


class KnowbaseCommand(BaseCommand):
    """What a person can mend is one clear message; ``--traceback`` shows the rest."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """As Django's, with our own errors and those of an unusable database as ``CommandError``."""
        try:
            return super().execute(*args, **options)
        except PgKnowbaseError as error:
            raise CommandError(str(error)) from error
        except DatabaseFault as error:
            explained = explain(error, get_settings().database)
            if explained is None:
                raise
            raise CommandError(" ".join(explained)) from error
