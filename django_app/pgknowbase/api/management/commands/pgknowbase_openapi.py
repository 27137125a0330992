"""``manage.py pgknowbase_openapi``: write the OpenAPI document of the API, or the TypeScript client made from it."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgknowbase.core.commands import KnowbaseCommand, as_json


class Command(KnowbaseCommand):
    help = "Write the OpenAPI document of the API, or the TypeScript client made from it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=("json", "typescript"), default="json")
        parser.add_argument("--prefix", default="/api/", help="json: the path below which the project serves the API")
        parser.add_argument("--output", type=Path, help="file to write, instead of stdout")

    def handle(self, *, format: str, prefix: str, output: Path | None, **options: Any) -> None:
        from pgknowbase.api.typescript_client import client_of
        from pgknowbase.api.urls import api

        if format == "json":
            text = as_json(api.get_openapi_schema(path_prefix=f"/{prefix.strip('/')}/".replace("//", "/")))
        else:
            text = client_of(api.get_openapi_schema(path_prefix="/"))
        if output is None:
            self.stdout.write(text)
        else:
            try:
                output.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
            except OSError as error:
                raise CommandError(
                    f"{str(output)!r} cannot be written ({error.strerror}): name another file."
                ) from error
