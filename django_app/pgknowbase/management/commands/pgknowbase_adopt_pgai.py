"""``manage.py pgknowbase_adopt_pgai``: takes over a vectorizer of pgai, with its vectors, and gives it back."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from pgknowbase.adoption.copying import AdoptionReport
from pgknowbase.adoption.mapping import map_vectorizer
from pgknowbase.adoption.model_code import model_code, settings_code
from pgknowbase.adoption.switching import adopt, finish, undo
from pgknowbase.adoption.vectorizers import check_adoptable, find_vectorizer, vectorizers
from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.core.commands import (
    KnowbaseCommand,
    add_database,
    add_format,
    as_json,
    as_table,
    database_alias,
    progress_bar,
)

COLUMNS = ("name", "table", "destination", "model", "dimensions", "rows", "chunks", "waiting", "adopted by")


SHOWN, LONGEST = 3, 80  # rows, characters


class Command(KnowbaseCommand):
    help = "Take over a vectorizer of pgai with its vectors. Without a name: list them."
    # It prints the settings that a project has yet to get; the other actions check them.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="name of the vectorizer; alone: print a model and settings for it")
        parser.add_argument("--model", metavar="app.Model", help="source model of its table: adopt it")
        parser.add_argument("--space", help="embedding space that gets the vectors, instead of the active one")
        parser.add_argument(
            "--trust",
            action="store_true",
            help="keep vectors also where texts or models cannot be shown to be the same",
        )
        parser.add_argument(
            "--reembed",
            action="store_true",
            help="accept a space that makes other texts or has another model: what differs is embedded again",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="with --model: report what would be kept; change nothing"
        )
        parser.add_argument("--undo", action="store_true", help="give an adopted vectorizer back to pgai")
        parser.add_argument(
            "--finish", action="store_true", help="drop what pgai has left of an adopted vectorizer; no way leads back"
        )
        parser.add_argument(
            "--drop-store", action="store_true", help="with --finish: its table of chunks and its view too"
        )
        add_format(parser)
        add_database(parser)

    def handle(
        self,
        *,
        name: str | None,
        model: str | None,
        undo: bool,
        finish: bool,
        drop_store: bool,
        format: str,
        database: str | None,
        **options: Any,
    ) -> None:
        """List, describe, adopt, undo or finish."""
        if sum(map(bool, (model, undo, finish))) > 1:
            raise CommandError("--model, --undo and --finish exclude one another: pass one of them.")
        given = [name for name in ("space", "trust", "reembed", "dry_run") if options[name]]
        if given and not model:
            raise CommandError(f"--{given[0].replace('_', '-')} belongs to --model: pass it too.")
        if drop_store and not finish:
            raise CommandError("--drop-store belongs to --finish: pass it too.")
        if model or undo or finish:
            self.check(tags=["pgknowbase"])
        using = database_alias(database) if database or hasattr(settings, "PGKNOWBASE") else DEFAULT_DB_ALIAS
        if name is None:
            if model or undo or finish:
                raise CommandError(f"Name the vectorizer: {command_line('pgknowbase_adopt_pgai', using)!r} lists them.")
            self._list(using, format)
        elif model:
            self._adopt(using, name, model, format=format, **options)
        elif undo:
            self._undo(using, name)
        elif finish:
            self._finish(using, name, drop_store)
        else:
            self._describe(using, name)

    def _list(self, using: str, format: str) -> None:
        rows = []
        # Before the first migrate there is no function that counts.
        counts = gateway.fetch_value(using, "is_installed")
        for one in vectorizers(using):
            state = gateway.fetch(using, "pgai_state", vectorizer=one.id)[0] if counts and one.columns else [None] * 3
            kind = "column" if one.is_column else "table"
            adopted = one.adopted["model"] if one.adopted else None
            rows.append([one.name, one.source, kind, one.model, one.dimensions, *state, adopted])
        if format == "json":
            self.stdout.write(as_json([dict(zip(COLUMNS, row, strict=True)) for row in rows]))
        else:
            self.stdout.write(as_table(COLUMNS, rows))

    def _describe(self, using: str, name: str) -> None:
        vectorizer = find_vectorizer(using, name)
        check_adoptable(vectorizer)
        mapping = map_vectorizer(vectorizer)
        self.stdout.write(f"# settings.py\n\n{settings_code(mapping)}\n\n# models.py\n")
        self.stdout.write(model_code(using, vectorizer, mapping))
        for fault in mapping.faults:
            self.stderr.write(f"pgai's texts cannot be made as they were: {fault}.")

    def _adopt(
        self,
        using: str,
        name: str,
        model: str,
        *,
        space: str | None,
        trust: bool,
        reembed: bool,
        dry_run: bool,
        format: str,
        verbosity: int,
        **options: Any,
    ) -> None:
        with progress_bar(unit="rows", hidden=verbosity == 0) as bar:
            report = adopt(
                using, name, model, space=space, trust=trust, reembed=reembed, dry_run=dry_run, progress=bar.update
            )
        if format == "json":
            self.stdout.write(as_json(_as_dict(report)))
            return
        for line in _lines(report):
            self.stdout.write(line)
        for key, error in report.rows.failures[:SHOWN]:
            self.stderr.write(f"row {key!r} could not be rendered, and is tried again: {error}")
        if dry_run:
            self.stdout.write("Nothing was changed (--dry-run).")
        else:
            self.stdout.write(
                f"{model} has taken over {name!r}: let {command_line('pgknowbase_worker', using)!r} run, and stop"
                " pgai's worker if it has nothing else to do. '--undo' goes back; '--finish' drops what pgai has left."
            )

    def _undo(self, using: str, name: str) -> None:
        queued, removed = undo(using, name)
        self.stdout.write(
            f"{name!r} is pgai's again: {queued} rows that were written meanwhile are queued for its worker, {removed}"
            " chunks of deleted rows are removed. Our triggers work on until the model is no longer a source model."
        )

    def _finish(self, using: str, name: str, drop_store: bool) -> None:
        finish(using, name, with_store=drop_store)
        left = "" if drop_store else " Its store and view stay: nothing writes them any more."
        self.stdout.write(f"What pgai had left of {name!r} is dropped.{left}")


def _as_dict(report: AdoptionReport) -> dict[str, Any]:
    return {
        "rows": report.rows.counts,
        "documents": report.documents,
        "complete": report.complete,
        "kept": report.kept,
        "present": report.present,
        "to_embed": dict(report.to_embed),
    }


def _lines(report: AdoptionReport) -> list[str]:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.rows.counts.items() if count)
    lines = [
        f"rows: {report.rows.total}{f' ({counts})' if counts else ''}",
        f"documents: {report.documents}, {report.complete} of them complete",
        f"chunks: {report.kept} kept, {report.present} present before, {report.to_embed.total()} to embed",
    ]
    lines += [f"  {count} because {reason}" for reason, count in report.to_embed.most_common()]
    if report.example:
        key, theirs, ours = report.example
        lines.append(f"  such as row {key!r}: {theirs[:LONGEST]!r} became {ours[:LONGEST]!r}")
    return lines
