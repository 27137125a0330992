"""``manage.py pgknowbase_openapi``: write the OpenAPI document of the API."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgknowbase.core.commands import KnowbaseCommand, as_json


class Command(KnowbaseCommand):
    help = "Write the OpenAPI document of the API."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--prefix", default="/api/", help="path below which the project serves the API, %(default)s"
        )
        parser.add_argument("--output", type=Path, help="file to write, instead of stdout")

    def handle(self, *, prefix: str, output: Path | None, **options: Any) -> None:
        from pgknowbase.api.urls import api

        text = as_json(api.get_openapi_schema(path_prefix=f"/{prefix.strip('/')}/".replace("//", "/")))
        if output is None:
            self.stdout.write(text)
        else:
            try:
                output.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
            except OSError as error:
                raise CommandError(
                    f"{str(output)!r} cannot be written ({error.strerror}): name another file."
                ) from error
