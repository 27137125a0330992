"""``manage.py pgknowbase_index``: the vector indexes of the embedding spaces."""

from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from collections.abc import Callable
from typing import Any

from django.contrib.contenttypes.models import ContentType

from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import as_json, as_table
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.management.progress import Bar
from pgknowbase.vectorizer.indexes import EF_CONSTRUCTION, IndexSpec, M, VectorIndex, build_index, indexes, model_source
from pgknowbase.vectorizer.spaces import find_space, matching_space

COLUMNS = ("space", "index", "model", "kind", "valid", "m", "ef_construction", "bytes", "store_bytes")


class Command(KnowbaseCommand):
    help = "list: the vector indexes, their size and whether they can be used. build: build one, or build it anew."
    requires_system_checks = ["pgknowbase"]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("list", "build"))
        parser.add_argument("--space", metavar="NAME", help="build: of this space instead of the active one")
        parser.add_argument("--model", metavar="APP.MODEL", help="build: over the chunks of this source model alone")
        parser.add_argument("--m", type=_between(2, 100), default=M, help="build: connections of a chunk per layer")
        parser.add_argument(
            "--ef-construction", type=_between(4, 1000), default=EF_CONSTRUCTION, help="build: candidates"
        )
        parser.add_argument(
            "--concurrently", action=BooleanOptionalAction, default=True, help="build: while others write (default)"
        )
        parser.add_argument("--format", choices=("table", "json"), default="table", help="list")

    def handle(self, *, action: str, **options: Any) -> None:
        using = get_settings().database
        if action == "build":
            self._build(using, **options)
        else:
            self._list(using, options["format"])

    def _list(self, using: str, format: str) -> None:
        labels = {one.pk: f"{one.app_label}.{one.model}" for one in ContentType.objects.using(using)}
        rows = [_row(index, labels) for index in indexes(using)]
        if format == "json":
            self.stdout.write(as_json([dict(zip(COLUMNS, row, strict=True)) for row in rows]))
        else:
            self.stdout.write(as_table(COLUMNS, rows))

    def _build(
        self, using: str, *, space: str | None, model: str | None, m: int, ef_construction: int, concurrently: bool,
        verbosity: int, **options: Any,
    ) -> None:  # fmt: skip
        wanted = find_space(using, space) if space else matching_space(using)
        source = model_source(model, using) if model else None
        spec = IndexSpec(wanted, source, m, max(ef_construction, 2 * m), concurrently)
        with Bar(unit="blocks", hidden=verbosity == 0) as bar:
            built = build_index(using, spec, lambda phase, done, total: bar.show(done, total, phase))
        self.stdout.write(f"{spec.name}: {'built' if built else 'is there already and valid'}.")


def _row(index: VectorIndex, labels: dict[int, str]) -> list[Any]:
    model = "all" if index.source is None else labels.get(index.source, str(index.source))
    return [index.space, index.name, model, index.kind, index.valid, *index.parameters, index.bytes, index.store_bytes]


def _between(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return whole
