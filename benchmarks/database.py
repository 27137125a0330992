"""A database of its own for the benchmarks, and the programs that talk to it."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgknowbase.embedded import EmbeddedPostgres

HERE = Path(__file__).parent
OPTIONS = {
    "shared_buffers": f"{min(4096, psutil.virtual_memory().total // 2**22)}MB",
    "max_wal_size": "4GB",
    "max_connections": "60",
    "checkpoint_timeout": "30min",
    "autovacuum_naptime": "10s",
}


@dataclass(frozen=True)
class Database:
    """Where the benchmarks run. ``url`` is any libpq connection string."""

    url: str

    def connect(self) -> psycopg.Connection[Any]:
        """A connection in autocommit."""
        return psycopg.connect(self.url, autocommit=True)

    def psql(self, script: str, variables: Mapping[str, object] | None = None) -> None:
        """Run a script of this directory."""
        options = [f"--set={name}={value}" for name, value in (variables or {}).items()]
        subprocess.run([_program("psql"), self.url, "-X", "-q", *options, "-f", HERE / script], check=True)

    def pgbench(
        self,
        script: str,
        *,
        clients: int,
        seconds: float,
        variables: Mapping[str, object] | None = None,
        table: str = "",
    ) -> float:
        """Transactions per second of a script of this directory.

        With ``table``, statements are prepared. Those take no names for variables: it is written in for ``:table``.
        """
        options = [f"--define={name}={value}" for name, value in (variables or {}).items()]
        options += ["-M", "prepared"] if table else []
        text = (HERE / script).read_text().replace(":table", table or ":table")
        jobs = min(clients, os.cpu_count() or 1)
        command = [_program("pgbench"), "-n", "-c", str(clients), "-j", str(jobs), "-T", str(max(1, round(seconds)))]
        done = subprocess.run(
            [*command, *options, "-f", "/dev/stdin", self.url], input=text, check=True, capture_output=True, text=True
        )
        found = re.search(r"tps = ([\d.]+)", done.stdout)
        if found is None:
            raise RuntimeError(f"pgbench printed no tps: {done.stdout}{done.stderr}")
        return float(found[1])


@contextmanager
def bench_database() -> Iterator[Database]:
    """A fresh database: on the server of DATABASE_URL, else on an embedded one; nothing of it is left afterwards."""
    if url := os.environ.get("DATABASE_URL"):
        with created(url) as made:
            yield made
        return
    directory = tempfile.mkdtemp(prefix="pgknowbase-bench-")
    server = EmbeddedPostgres(directory, options=OPTIONS)
    try:
        with created(server.start().url) as made:
            yield made
    finally:
        server.stop(force=True)
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def created(server: str, more: str = "") -> Iterator[Database]:
    """A fresh database on a server; ``more`` is what its name has beside those of others of this process."""
    name = f"pgknowbase_bench_{os.getpid()}{more}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield Database(_url(server, name))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _url(server: str, name: str) -> str:
    """``server`` with another database, still a URL: settings and child processes read nothing else."""
    head, mark, query = server.partition("?")
    scheme, _, rest = head.partition("://")
    make_conninfo(server)
    return f"{scheme}://{rest.partition('/')[0]}/{name}{mark}{query}"


def _program(name: str) -> str:
    try:
        from pgknowbase.embedded.process import account_for, programs

        return str(programs(18, account_for(Path(tempfile.gettempdir()))) / name)
    except Exception:  # noqa: BLE001 - without the extra "embedded", that of the system will do
        found = shutil.which(name)
        if found is None:
            raise SystemExit(f"{name} is missing: install django-pgknowbase[embedded] or Postgres' client.") from None
        return found
