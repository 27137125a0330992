"""``manage.py pgknowbase_space``: embedding spaces, their vector indexes, and the change from one space to another."""

from argparse import BooleanOptionalAction
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.management.base import CommandError, CommandParser

from pgknowbase.conf import SpaceSettings, get_settings
from pgknowbase.core.command_line import command_line
from pgknowbase.core.commands import (
    ActionCommand,
    ProgressBar,
    add_database,
    add_format,
    as_json,
    as_table,
    between,
    database_alias,
    positive,
    progress_bar,
)
from pgknowbase.errors import SpaceError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.operations.estimate import estimate_space, write_estimates
from pgknowbase.operations.relevance.comparison import compare_spaces, sample_titles
from pgknowbase.operations.relevance.judgements import read_judgements, read_queries
from pgknowbase.sources.registry import source_by_label
from pgknowbase.spaces.cluster import distribute_space, undistribute_space
from pgknowbase.spaces.indexes import EF_CONSTRUCTION, IndexSpec, M, VectorIndex, build_index, indexes
from pgknowbase.spaces.lifecycle import activate_space, add_space, drop_space, rollback_space, space_settings
from pgknowbase.spaces.specification import (
    SpaceSpec,
    accept_backend,
    active_space,
    find_space,
    matching_space,
    rebuild_space,
)
from pgknowbase.vectorizer.filling import fill_space

INDEX_COLUMNS = ("space", "index", "model", "kind", "valid", "m", "ef_construction", "bytes", "store_bytes")


class Command(ActionCommand):
    help = "Manage embedding spaces and their vector indexes."

    def add_arguments(self, parser: CommandParser) -> None:
        self.actions = parser.add_subparsers(metavar="ACTION", required=True)
        self._action("list", self.handle_list, "List the spaces of the settings and of the database.")
        self._add_add()
        fill = self._action("fill", self.handle_fill, "Wait until a space is full, then build its index.", name=True)
        fill.add_argument("--here", action="store_true", help="embed in this process instead of waiting for a worker")
        fill.add_argument("--no-index", action="store_true", help="do not build the vector index")
        self._add_compare()
        activate = self._action("activate", self.handle_activate, "Let searches read another space.", name=True)
        rollback = self._action("rollback", self.handle_rollback, "Let searches read the space that was active before.")
        for action in (activate, rollback):
            action.add_argument("--force", action="store_true", help="even if the space is not complete")
        distribute = self._action(
            "distribute", self.handle_distribute, "Spread a store, words and texts over a Citus cluster.", name=True
        )
        distribute.add_argument("--shards", type=positive, help="parts; default: citus.shard_count of the server")
        distribute.add_argument("--no-words", action="store_true", help="leave the words of documents where they are")
        distribute.add_argument("--no-texts", action="store_true", help="leave the texts of documents where they are")
        self._action(
            "undistribute", self.handle_undistribute, "Bring back a store, with the last words and texts.", name=True
        )
        drop = self._action("drop", self.handle_drop, "Drop a space that is not active.", name=True)
        rebuild = self._action("rebuild", self.handle_rebuild, "Drop the active space and create it from the settings.")
        drop.add_argument("--discard", action="store_true", help="keep none of its vectors for another space")
        for action in (drop, rebuild):
            action.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        self._action("accept", self.handle_accept, "Record the backend of the settings as giving the same vectors.")
        add_format(self._action("indexes", self.handle_indexes, "List the vector indexes of all spaces."))
        self._add_index()

    def _action(self, action: str, handler: Callable[..., None], help: str, *, name: bool = False) -> CommandParser:
        parser = self.add_action(action, handler, help)
        if name:
            parser.add_argument("name", help="name of the space")
        add_database(parser)
        return parser

    def _add_add(self) -> None:
        add = self._action("add", self.handle_add, "Add a space beside the active one; the worker fills it.", name=True)
        add.add_argument("--embedding", metavar="ALIAS", help="alias in EMBEDDINGS")
        add.add_argument("--chunk-size", type=int, help="largest number of characters in a chunk")
        add.add_argument("--chunk-overlap", type=int, help="characters that adjacent chunks share")
        add.add_argument("--template", help="text that is embedded for a chunk")
        add.add_argument("--splitter", help="'recursive', 'markdown' or 'code'")
        add.add_argument("--index", help="'halfvec' or 'binary'")
        add.add_argument("--storage", help="'vector' or 'halfvec'")
        add.add_argument(
            "--distributed",
            action=BooleanOptionalAction,
            help="spread its store over a Citus cluster",
        )
        add.add_argument("--estimate", action="store_true", help="say what filling it would cost, and create nothing")
        add.add_argument("--sample", type=positive, help="for --estimate: documents to split")
        add_format(add)

    def _add_compare(self) -> None:
        compare = self._action(
            "compare", self.handle_compare, "Compare the hits of a space with those of the active one.", name=True
        )
        compare.add_argument("--queries", metavar="FILE", help="file of queries, instead of titles")
        compare.add_argument("--judgements", metavar="FILE", help="BEIR's qrels of these queries")
        compare.add_argument(
            "--sample",
            type=positive,
            default=100,
            help="titles to use as queries, %(default)s",
        )
        add_format(compare)

    def _add_index(self) -> None:
        index = self._action("index", self.handle_index, "Build the vector index of a space.")
        index.add_argument("name", nargs="?", help="name of the space; default: the active one")
        index.add_argument("--model", metavar="app.Model", help="index the chunks of this source model alone")
        index.add_argument("--m", type=between(2, 100), default=M, help="connections per chunk and layer, %(default)s")
        index.add_argument(
            "--ef-construction",
            type=between(4, 1000),
            default=EF_CONSTRUCTION,
            help="candidates per inserted chunk, %(default)s; at least twice --m",
        )
        index.add_argument("--no-concurrently", action="store_true", help="lock out writers, which is faster")

    # Spaces

    def handle_list(self, *, database: str | None, **options: Any) -> None:
        """Write one row for each space of the settings, then one for each of the database."""
        using, settings = database_alias(database), get_settings()
        configured = {"(settings)": settings.space} | {f"({name})": space for name, space in settings.spaces.items()}
        rows = [[name, *asdict(SpaceSpec.from_settings(space)).values(), ""] for name, space in configured.items()]
        for space in EmbeddingSpace.objects.using(using).order_by("id"):
            rows.append([space.name, *asdict(SpaceSpec.of(space)).values(), _state(space)])
        self.stdout.write(as_table(["space", *SpaceSpec.__dataclass_fields__, "state"], rows))

    def handle_add(
        self,
        *,
        name: str,
        estimate: bool,
        sample: int | None,
        format: str,
        database: str | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        """Create a space and queue every document for it, or only say what that would cost."""
        parts = {key: options[key] for key in SpaceSettings.model_fields}
        using, wanted = database_alias(database), space_settings(name, **parts)
        if estimate:
            with progress_bar(unit="documents", hidden=verbosity == 0) as bar:
                found = estimate_space(using, name, wanted, sample=sample, progress=bar.update)
            write_estimates(self.stdout, [found], format)
            return
        if sample:
            raise CommandError("--sample of 'add' goes with --estimate.")
        space = add_space(using, name, wanted)
        worker, fill = (
            command_line(command, using) for command in ("pgknowbase_worker", f"pgknowbase_space fill {name}")
        )
        self.stdout.write(f"Added {space}; its documents are queued: let {worker!r} run, and wait with {fill!r}.")

    def handle_fill(
        self, *, name: str, here: bool, no_index: bool, database: str | None, verbosity: int, **options: Any
    ) -> None:
        """Wait until the queue of a space is empty, then build its vector index."""
        using = database_alias(database)
        with ProgressBar(unit="documents", hidden=verbosity == 0) as bar:
            space = fill_space(using, name, here=here, progress=bar.show)
        if not no_index:
            self._build(using, IndexSpec(space), verbosity)
        self.stdout.write(
            f"Filled {space}: compare it, or {command_line(f'pgknowbase_space activate {name}', using)!r}."
        )

    def handle_compare(
        self,
        *,
        name: str,
        queries: str | None,
        judgements: str | None,
        sample: int,
        format: str,
        database: str | None,
        **options: Any,
    ) -> None:
        """Search both spaces for the same queries; write coverage, overlap and nDCG."""
        using = database_alias(database)
        active, other = active_space(using), find_space(using, name)
        if active is None or active.pk == other.pk:
            raise SpaceError(f"The embedding space {name!r} is the active one: name another to compare it with.")
        if judgements and not queries:
            raise SpaceError("--judgements needs the --queries that were judged: pass both.")
        texts = read_queries(queries) if queries else sample_titles(using, sample)
        result = compare_spaces(using, active, other, texts, read_judgements(judgements) if judgements else {})
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
            f"\n{result.queries} queries, {result.judged} judged; share of the first ten hits that both find:"
            f" {_rounded(result.overlap)}"
        )

    def handle_activate(self, *, name: str, force: bool, database: str | None, **options: Any) -> None:
        """Make a space the active one."""
        self.stdout.write(f"Searches read {activate_space(database_alias(database), name, force=force)} now.")

    def handle_rollback(self, *, force: bool, database: str | None, **options: Any) -> None:
        """Make the space active that was active before."""
        self.stdout.write(f"Searches read {rollback_space(database_alias(database), force=force)} again.")

    def handle_distribute(
        self, *, name: str, shards: int | None, no_words: bool, no_texts: bool, database: str | None, **options: Any
    ) -> None:
        """Spread the store of a space, and the words and texts of documents, over the servers of the cluster."""
        using = database_alias(database)
        space = distribute_space(using, name, shards=shards, words=not no_words, texts=not no_texts)
        self.stdout.write(f"The store of {space} is distributed: add 'DISTRIBUTED': True to its settings.")

    def handle_undistribute(self, *, name: str, database: str | None, **options: Any) -> None:
        """Bring the store of a space back into one table, and with the last one words and texts."""
        space = undistribute_space(database_alias(database), name)
        self.stdout.write(f"The store of {space} is one table again.")

    def handle_drop(self, *, name: str, yes: bool, discard: bool, database: str | None, **options: Any) -> None:
        """Drop a space that is not active."""
        using = database_alias(database)
        space = find_space(using, name)
        if not space.is_active and not yes:
            self._confirm(f"This drops every embedding of {space}.")
        kept = drop_space(using, name, discard=discard)
        told = f" {kept:,} vectors are kept for another space of the same embedding." if kept else ""
        self.stdout.write(f"Dropped {space}.{told}")

    def handle_rebuild(self, *, yes: bool, database: str | None, **options: Any) -> None:
        """Drop the active space and create it anew; searches find nothing until it is filled."""
        if not yes:
            self._confirm(
                "This drops every embedding of the active space; searches find nothing until it is filled again."
            )
        using = database_alias(database)
        space = rebuild_space(using)
        worker = command_line("pgknowbase_worker", using)
        self.stdout.write(f"Created {space}; its documents are queued: let {worker!r} run.")

    def handle_accept(self, *, database: str | None, **options: Any) -> None:
        """Record the backend of the settings as another way to the vectors of the active space."""
        self.stdout.write(f"Accepted: {accept_backend(database_alias(database))}.")

    def _confirm(self, warning: str) -> None:
        self.stdout.write(warning)
        try:
            confirmed = input("Type 'yes' to continue: ") == "yes"
        except EOFError as error:
            raise CommandError("There is no terminal to confirm this on: pass --yes.") from error
        if not confirmed:
            raise CommandError("Nothing was changed.")

    # Vector indexes

    def handle_indexes(self, *, format: str, database: str | None, **options: Any) -> None:
        """List the vector indexes: parameters, sizes in bytes, and whether they are valid."""
        using = database_alias(database)
        labels = {one.pk: f"{one.app_label}.{one.model}" for one in ContentType.objects.using(using)}
        rows = [_index_row(index, labels) for index in indexes(using)]
        if format == "json":
            self.stdout.write(as_json([dict(zip(INDEX_COLUMNS, row, strict=True)) for row in rows]))
        else:
            self.stdout.write(as_table(INDEX_COLUMNS, rows))

    def handle_index(
        self,
        *,
        name: str | None,
        model: str | None,
        m: int,
        ef_construction: int,
        no_concurrently: bool,
        database: str | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        """Build a vector index, unless a valid one with the same parameters exists."""
        using = database_alias(database)
        space = find_space(using, name) if name else matching_space(using)
        source = source_by_label(model).content_type_id(using) if model else None
        # pgvector refuses ef_construction below 2 * m.
        spec = IndexSpec(space, source, m, max(ef_construction, 2 * m), not no_concurrently)
        built = self._build(using, spec, verbosity)
        self.stdout.write(f"{spec.name}: {'built' if built else 'exists already and is valid'}.")

    def _build(self, using: str, spec: IndexSpec, verbosity: int) -> bool:
        with ProgressBar(unit="blocks", hidden=verbosity == 0) as bar:
            return build_index(using, spec, lambda phase, done, total: bar.show(done, total, phase))


def _state(space: EmbeddingSpace) -> str:
    served = f"served until {space.served_until:%Y-%m-%d %H:%M}" if space.served_until else ""
    states = ("active" if space.is_active else served, "distributed" if space.distributed else "")
    return ", ".join(state for state in states if state)


def _index_row(index: VectorIndex, labels: dict[int, str]) -> list[Any]:
    model = "all" if index.source is None else labels.get(index.source, str(index.source))
    return [index.space, index.name, model, index.kind, index.valid, *index.parameters, index.bytes, index.store_bytes]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
