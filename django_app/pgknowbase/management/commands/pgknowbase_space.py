"""``manage.py pgknowbase_space``: the embedding spaces, and the way from one to another."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from pgknowbase.conf import SpaceSettings, get_settings
from pgknowbase.errors import SpaceError
from pgknowbase.management.arguments import as_json, as_table, positive
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.management.progress import Bar
from pgknowbase.models import EmbeddingSpace
from pgknowbase.vectorizer.spaces import SpaceSpec, accept_backend, active_space, find_space, rebuild_space

NAMED = ("add", "fill", "compare", "activate", "drop")
ACTIONS = ("list", *NAMED, "rollback", "rebuild", "accept")


class Command(KnowbaseCommand):
    help = (
        "list: the embedding spaces and those of the settings. add, fill, compare, activate NAME: another space beside"
        " the active one, with no downtime. rollback: back to the one that served before. drop NAME: one that does not"
        " serve. rebuild: drop the active space and embed everything anew. accept: record the settings' backend as"
        " another way to the same vectors."
    )
    # The database check would refuse the very command that mends what it found.
    requires_system_checks = ["pgknowbase"]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=ACTIONS)
        parser.add_argument("name", nargs="?", help="the space")
        parser.add_argument("--embedding", metavar="ALIAS", help="add: entry of EMBEDDINGS")
        parser.add_argument("--chunk-size", type=int, help="add: characters of one chunk")
        parser.add_argument("--chunk-overlap", type=int, help="add: characters that neighbours share")
        parser.add_argument("--template", help="add: what is embedded for one chunk")
        parser.add_argument("--splitter", help="add: recursive, markdown or code")
        parser.add_argument("--index", help="add: halfvec or binary, what the vector index holds of a vector")
        parser.add_argument("--storage", help="add: vector or halfvec, as what the vectors are stored")
        parser.add_argument("--here", action="store_true", help="fill: embed in this process")
        parser.add_argument("--no-index", action="store_true", help="fill: build no vector index afterwards")
        parser.add_argument("--queries", metavar="FILE", help="compare: one per line, or BEIR's JSON lines")
        parser.add_argument("--judgements", metavar="FILE", help="compare: BEIR's qrels of these queries")
        parser.add_argument("--sample", type=positive, default=100, help="compare: titles taken as queries")
        parser.add_argument("--force", action="store_true", help="activate, rollback: even if it is not complete")
        parser.add_argument("--format", choices=("table", "json"), default="table", help="compare")
        parser.add_argument("--yes", action="store_true", help="do not ask before dropping embeddings")

    def handle(self, *, action: str, name: str | None, **options: Any) -> None:
        if (name is None) is (action in NAMED):
            raise CommandError(f"{action!r} takes {'the name of a space' if action in NAMED else 'no name'}.")
        getattr(self, f"_{action}")(get_settings().database, *([name] if name else []), **options)

    def _list(self, using: str, **options: Any) -> None:
        settings = get_settings()
        asked = {"(settings)": settings.space} | {f"({name})": space for name, space in settings.spaces.items()}
        rows = [[name, *asdict(SpaceSpec.from_settings(space)).values(), ""] for name, space in asked.items()]
        for space in EmbeddingSpace.objects.using(using).order_by("id"):
            rows.append([space.name, *asdict(SpaceSpec.of(space)).values(), _state(space)])
        self.stdout.write(as_table(["space", *SpaceSpec.__dataclass_fields__, "state"], rows))

    def _add(self, using: str, name: str, **options: Any) -> None:
        from pgknowbase.vectorizer.change import add_space, space_settings

        parts = {key: options[key] for key in SpaceSettings.model_fields}
        space = add_space(using, name, space_settings(name, **parts))
        self.stdout.write(
            f"Added {space}; its documents are queued: let 'manage.py pgknowbase_worker' run, and wait with 'manage.py"
            f" pgknowbase_space fill {name}'."
        )

    def _fill(self, using: str, name: str, *, here: bool, no_index: bool, verbosity: int, **options: Any) -> None:
        from pgknowbase.vectorizer.filling import fill_space
        from pgknowbase.vectorizer.indexes import IndexSpec, build_index

        with Bar(unit="documents", hidden=verbosity == 0) as bar:
            space = fill_space(using, name, here=here, progress=bar.show)
        if not no_index:
            with Bar(unit="blocks", hidden=verbosity == 0) as bar:
                build_index(using, IndexSpec(space), lambda phase, done, total: bar.show(done, total, phase))
        self.stdout.write(f"Filled {space}: compare it, or 'manage.py pgknowbase_space activate {name}'.")

    def _compare(
        self,
        using: str,
        name: str,
        *,
        queries: str | None,
        judgements: str | None,
        sample: int,
        format: str,
        **options: Any,
    ) -> None:
        from pgknowbase.quality.judgements import read_judgements, read_queries
        from pgknowbase.vectorizer.comparison import compare_spaces, sampled_queries

        active, other = active_space(using), find_space(using, name)
        if active is None or active.pk == other.pk:
            raise SpaceError(f"The embedding space {name!r} is the active one: name another to compare it with.")
        if judgements and not queries:
            raise SpaceError("--judgements needs the --queries that were judged: pass both.")
        asked = read_queries(queries) if queries else sampled_queries(using, sample)
        result = compare_spaces(using, active, other, asked, read_judgements(judgements) if judgements else {})
        if format == "json":
            self.stdout.write(as_json(result.as_dict()))
            return
        columns = ["space", "model", "dimensions", *result.active.coverage.__dataclass_fields__, "ndcg@10"]
        rows = [
            [side.name, side.model, side.dimensions, *asdict(side.coverage).values(), _rounded(side.ndcg)]
            for side in (result.active, result.other)
        ]
        self.stdout.write(as_table(columns, rows))
        self.stdout.write(
            f"\n{result.queries} queries, {result.judged} judged; share of the ten best that both find:"
            f" {_rounded(result.overlap)}"
        )

    def _activate(self, using: str, name: str, *, force: bool, **options: Any) -> None:
        from pgknowbase.vectorizer.change import activate_space

        self.stdout.write(f"Searches read {activate_space(using, name, force=force)} now.")

    def _rollback(self, using: str, *, force: bool, **options: Any) -> None:
        from pgknowbase.vectorizer.change import rollback_space

        self.stdout.write(f"Searches read {rollback_space(using, force=force)} again.")

    def _drop(self, using: str, name: str, *, yes: bool, **options: Any) -> None:
        from pgknowbase.vectorizer.change import drop_space

        space = find_space(using, name)
        if not space.is_active and not yes:
            self._ask(f"This drops every embedding of {space}.")
        drop_space(using, name)
        self.stdout.write(f"Dropped {space}.")

    def _rebuild(self, using: str, *, yes: bool, **options: Any) -> None:
        if not yes:
            self._ask("This drops every embedding of the active space; searches find nothing until it is filled again.")
        space = rebuild_space(using)
        self.stdout.write(f"Created {space}; its documents are queued: let 'manage.py pgknowbase_worker' run.")

    def _accept(self, using: str, **options: Any) -> None:
        self.stdout.write(f"Accepted: {accept_backend(using)}.")

    def _ask(self, warning: str) -> None:
        self.stdout.write(warning)
        try:
            agreed = input("Type 'yes' to go on: ") == "yes"
        except EOFError as error:
            raise CommandError("Nobody is there to answer: pass --yes.") from error
        if not agreed:
            raise CommandError("Nothing was changed.")


def _state(space: EmbeddingSpace) -> str:
    if space.is_active:
        return "active"
    return f"served until {space.served_until:%Y-%m-%d %H:%M}" if space.served_until else ""


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
