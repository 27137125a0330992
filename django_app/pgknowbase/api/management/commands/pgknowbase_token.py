"""``manage.py pgknowbase_token``: tokens of the API."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.utils import timezone

from pgknowbase.api import tokens
from pgknowbase.api.models import ApiToken
from pgknowbase.api.scopes import SCOPES
from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import as_json, as_table, positive
from pgknowbase.management.base import KnowbaseCommand

COLUMNS = ("prefix", "name", "user", "scopes", "expires_at", "revoked_at", "last_used_at")


class Command(KnowbaseCommand):
    help = "Make, list and revoke tokens of the API. The secret of a new one is printed once and not kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("create", "list", "revoke"))
        parser.add_argument("name", nargs="?", help="create: a username; revoke: a token's prefix")
        parser.add_argument("--name", dest="label", default="command line", help="what the token is for")
        parser.add_argument("--scope", action="append", choices=list(SCOPES), default=[], help="can be repeated")
        parser.add_argument("--days", type=positive, help="it expires after so many days; without, never")
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *, action: str, name: str | None, **options: Any) -> None:
        if action == "list":
            self._list(options["format"])
        elif name is None:
            raise CommandError(f"{action} of what is missing: add a {'username' if action == 'create' else 'prefix'}.")
        elif action == "create":
            self._create(name, options["label"], options["scope"] or ["search"], options["days"])
        else:
            self._revoke(name)

    def _create(self, username: str, label: str, scopes: list[str], days: int | None) -> None:
        model: Any = get_user_model()
        users = model._base_manager.using(get_settings().database)
        user = users.filter(**{model.USERNAME_FIELD: username}).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}: name one that exists.")
        try:
            expires = timezone.now() + timedelta(days=days) if days else None
        except OverflowError as error:
            raise CommandError(f"--days {days} is beyond the calendar: give fewer, or none for ever.") from error
        _, secret = tokens.create_token(user, name=label, scopes=scopes, expires_at=expires)
        self.stderr.write("The token, shown once:")
        self.stdout.write(secret)

    def _revoke(self, prefix: str) -> None:
        found = list(ApiToken.objects.using(get_settings().database).filter(prefix=prefix))
        if not found:
            raise CommandError(f"No token begins with {prefix!r}: see 'manage.py pgknowbase_token list'.")
        for token in found:
            tokens.revoke(token)
        self.stdout.write(f"Revoked: {', '.join(map(str, found))}.")

    def _list(self, format: str) -> None:
        kept = ApiToken.objects.using(get_settings().database).select_related("user").order_by("pk")
        rows = [{**{name: getattr(one, name) for name in COLUMNS}, "user": str(one.user)} for one in kept]
        if format == "json":
            self.stdout.write(as_json(rows))
        else:
            cells = [[_cell(row[name]) for name in COLUMNS] for row in rows]
            self.stdout.write(as_table(COLUMNS, cells))


def _cell(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else value
