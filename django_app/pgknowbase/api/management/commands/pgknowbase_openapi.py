"""``manage.py pgknowbase_openapi``: the OpenAPI document of the API, and a TypeScript client made of it."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from pgknowbase.management.arguments import as_json
from pgknowbase.management.base import KnowbaseCommand


class Command(KnowbaseCommand):
    help = "Write the OpenAPI document of the API, or the TypeScript client made of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("json", "typescript"), default="json")
        parser.add_argument("--prefix", default="/api/", help="json: the path below which the project serves the API")
        parser.add_argument("--output", type=Path, help="a file, instead of stdout")

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
                raise CommandError(f"{str(output)!r} cannot be written ({error.strerror}): name another.") from error
