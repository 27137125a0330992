"""``manage.py pgknowbase_token``: create, list and revoke tokens of the API."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from pgknowbase.api import tokens
from pgknowbase.api.models import ApiToken
from pgknowbase.api.tokens import SCOPES
from pgknowbase.conf import get_settings
from pgknowbase.core.commands import ActionCommand, add_format, as_json, as_table, positive

COLUMNS = ("prefix", "name", "user", "scopes", "expires_at", "revoked_at", "last_used_at")


class Command(ActionCommand):
    help = "Create, list and revoke tokens of the API. The secret of a new token is printed once and not stored."

    def add_arguments(self, parser: CommandParser) -> None:
        self.actions = parser.add_subparsers(metavar="ACTION", required=True)
        create = self.add_action("create", self.handle_create, "Create a token of a user, and print it once.")
        create.add_argument("username", help="user on whose behalf the token acts")
        create.add_argument("--name", default="command line", help="purpose of the token")
        create.add_argument(
            "--scope", action="append", choices=list(SCOPES), help="what it may do, default 'search'; repeat for more"
        )
        create.add_argument("--days", type=positive, help="days until it expires")
        add_format(self.add_action("list", self.handle_list, "List all tokens, without their secrets."))
        revoke = self.add_action("revoke", self.handle_revoke, "Revoke a token.")
        revoke.add_argument("prefix", help="first characters of the token, as 'list' shows them")

    def handle_create(
        self, *, username: str, name: str, scope: list[str] | None, days: int | None, **options: Any
    ) -> None:
        """Write the secret to stdout.

        Raises:
            CommandError: there is no such user, or ``days`` leads beyond the year 9999.
        """
        model: Any = get_user_model()
        users = model._base_manager.using(get_settings().database)
        user = users.filter(**{model.USERNAME_FIELD: username}).first()
        if user is None:
            raise CommandError(f"User {username!r} does not exist: name another.")
        try:
            expires = timezone.now() + timedelta(days=days) if days else None
        except OverflowError as error:
            raise CommandError(f"--days {days} is beyond the calendar: give fewer, or none for ever.") from error
        _, secret = tokens.create_token(user, name=name, scopes=scope or ["search"], expires_at=expires)
        self.stderr.write("The token, shown once:")
        self.stdout.write(secret)

    def handle_list(self, *, format: str, **options: Any) -> None:
        """Write every token, revoked and expired ones included."""
        stored = ApiToken.objects.using(get_settings().database).select_related("user").order_by("pk")
        rows = [{**{name: getattr(one, name) for name in COLUMNS}, "user": str(one.user)} for one in stored]
        if format == "json":
            self.stdout.write(as_json(rows))
        else:
            cells = [[_cell(row[name]) for name in COLUMNS] for row in rows]
            self.stdout.write(as_table(COLUMNS, cells))

    def handle_revoke(self, *, prefix: str, **options: Any) -> None:
        """Revoke every token with this prefix; it is refused from the next request on."""
        found = list(ApiToken.objects.using(get_settings().database).filter(prefix=prefix))
        if not found:
            raise CommandError(f"No token begins with {prefix!r}: see 'manage.py pgknowbase_token list'.")
        for token in found:
            tokens.revoke(token)
        self.stdout.write(f"Revoked: {', '.join(map(str, found))}.")


def _cell(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else value
