"""``manage.py pgknowbase_costs``: what providers were paid for embeddings, chats and agents."""

import argparse
import csv
from datetime import date, timedelta
from typing import Any

from django.core.management.base import CommandParser

from pgknowbase.core.commands import KnowbaseCommand, add_database, as_json, as_table, database_alias
from pgknowbase.core.times import midnight
from pgknowbase.costs.report import DIMENSIONS, CostReport, CostRow, Dimension, cost_report

COLUMNS = ("texts", "reused", "tokens", "output_tokens", "calls", "failed_calls", "retried_calls", "cost")


class Command(KnowbaseCommand):
    help = "Show what embeddings, chats and agents have used at their providers, and what that costs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since", type=_day, metavar="DAY", help="a date, or '30d' for so many days; default: ever"
        )
        parser.add_argument(
            "--by",
            choices=DIMENSIONS,
            default="day",
            help="'day', 'month', 'kind', 'provider', 'model', 'space', 'source' or 'tenant'",
        )
        parser.add_argument("--format", choices=("text", "json", "csv"), default="text", help="'text', 'json' or 'csv'")
        add_database(parser)

    def handle(self, *, since: date | None, by: Dimension, format: str, database: str | None, **options: Any) -> None:
        report = cost_report(database_alias(database), since=since, by=by)
        if format == "json":
            self.stdout.write(as_json(report.model_dump()))
        elif format == "csv":
            writer = csv.DictWriter(self.stdout, [*CostRow.model_fields], lineterminator="\n")
            writer.writeheader()
            writer.writerows(row.model_dump() for row in report.rows)
        else:
            self._write_text(report)

    def _write_text(self, report: CostReport) -> None:
        if report.total is None:
            self.stdout.write("Nothing was used.")
            return
        rows = [*report.rows, report.total.model_copy(update={"name": "total"})]
        self.stdout.write(as_table([report.by, *COLUMNS], [[row.name, *_cells(row)] for row in rows]))
        if report.total.estimated_tokens:
            self.stdout.write(
                f"\n{report.total.estimated_tokens:,} tokens are estimates, because a provider reported none"
                f" ({report.total.doubtful_calls:,} calls: a number that cannot be)."
            )


def _cells(row: CostRow) -> list[Any]:
    return [cost_text(row) if name == "cost" else getattr(row, name) for name in COLUMNS]


def cost_text(row: CostRow) -> str:
    """The cost in US dollars; where a part has no price, so many tokens are said beside it."""
    known = "" if row.cost is None else f"${row.cost:,.6f}"
    unknown = f"{row.unpriced_tokens:,} tokens without a price" if row.unpriced_tokens else ""
    return " + ".join(part for part in (known, unknown) if part) or "-"


def _day(text: str) -> date:
    try:
        if text.endswith("d") and text[:-1].isdecimal():
            return midnight().date() - timedelta(days=int(text[:-1]))
        return date.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a date such as 2026-01-31 nor days such as 30d"
        ) from error
