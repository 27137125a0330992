"""``EmbeddedPostgres``: one data directory, one server, any number of processes that share it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgknowbase.errors import EmbeddedPostgresError

if sys.platform != "win32":
    from pgknowbase.embedded import cluster, process
    from pgknowbase.embedded.process import find_postmaster
if TYPE_CHECKING:
    from pgknowbase.embedded.process import Account, Postmaster

_RESERVED = frozenset(
    {
        "data_directory",
        "hba_file",
        "listen_addresses",
        "port",
        "unix_socket_directories",
        "unix_socket_permissions",
    }
)


class EmbeddedPostgres:
    """A Postgres server of your own in ``data_dir``: for demos, tests and desktops (extra ``embedded``).

    Args:
        data_dir: created if absent, with its parents; one cluster each.
        version: major version, 18 or 16; an existing directory must be of that version.
        options: server settings such as ``{"fsync": "off"}``; used when this call starts the server, not when
            it finds it running.
        port: None for a Unix socket alone; a number to listen on 127.0.0.1 too, with a generated password;
            0 for any free port.
        database: the database that ``url`` names; created if absent.
        keep: leave the server running when its last user leaves, until ``stop(force=True)``.
        timeout: seconds to wait for a start (crash recovery included) or for a stop.
        replica_of: a running ``EmbeddedPostgres`` that a new directory becomes a streaming replica of: it is copied at
            the first start, and followed from then on.

    Every process that started or joined the server counts as a user until it calls ``stop`` or dies.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        *,
        version: int = 18,
        options: Mapping[str, str | int | float | bool] | None = None,
        port: int | None = None,
        database: str = "postgres",
        keep: bool = False,
        timeout: float = 60.0,
        replica_of: "EmbeddedPostgres | None" = None,
    ) -> None:
        if sys.platform == "win32":
            raise EmbeddedPostgresError("The embedded Postgres needs Linux or macOS: set DATABASE_URL to a server.")
        self.data_dir = Path(data_dir).expanduser().resolve()
        self.version = version
        self.port = port
        self.database = database
        self.keep = keep
        self.timeout = timeout
        self.replica_of = replica_of
        self.options = _checked_options(options or {})
        self._claim: int | None = None

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self.data_dir)!r}, version={self.version!r}, port={self.port!r})"

    def start(self) -> Self:
        """Start the server, or join it when it runs already; safe from any number of processes at once.

        Raises:
            MissingExtraError: the package with the Postgres programs is not installed.
            EmbeddedPostgresError: it cannot be started; the message says why and what to do.
        """
        account = process.account_for(self.data_dir)
        if not self.data_dir.exists():
            process.programs(self.version, account)  # a missing package leaves no directory behind
        cluster.ensure_directory(self.data_dir, account)
        with cluster.exclusive(self.data_dir, timeout=self.timeout) as lock:
            sync = self.options.get("fsync", "on") not in ("off", "false", "0", "no")
            primary = None if self.replica_of is None else self.replica_of._own_address()
            cluster.ensure_cluster(self.data_dir, account, self.version, lock=lock, sync=sync, copy_of=primary)
            if self._claim is None:
                self._claim = cluster.claim(self.data_dir, account)
            try:
                self._join_or_launch(account)
            except BaseException:
                self._leave()
                raise
        return self

    def stop(self, *, force: bool = False) -> bool:
        """Leave the server, and stop it when nobody else uses it and nobody asked to keep it.

        With ``force`` it is stopped in any case. Also stops a server whose starter died without stopping it.
        Returns whether the server was stopped.
        """
        self._leave()
        if not self.data_dir.is_dir():
            return False
        with cluster.exclusive(self.data_dir, timeout=self.timeout):
            server = find_postmaster(self.data_dir)
            if server is None:
                return False
            if not force and ((self.data_dir / cluster.KEEP_FILE).exists() or cluster.in_use(self.data_dir)):
                return False
            process.halt(server, self.data_dir, self.timeout)
            cluster.remove_socket_directory(Path(server.socket_dir), self.data_dir)
            (self.data_dir / cluster.KEEP_FILE).unlink(missing_ok=True)
        return True

    @property
    def is_running(self) -> bool:
        """Whether a server of this directory accepts connections, whoever started it."""
        server = find_postmaster(self.data_dir)
        return server is not None and server.status == "ready"

    @property
    def url(self) -> str:
        """A libpq URL: the socket's, or with ``port`` the TCP one with its password."""
        server = self._running()
        database = quote(self.database, safe="")
        if self.port is None:
            host = quote(os.fsencode(server.socket_dir), safe="")
            return f"postgresql://{cluster.SUPERUSER}@/{database}?host={host}&port={server.port}"
        password = quote(cluster.read_password(self.data_dir) or "", safe="")
        return f"postgresql://{cluster.SUPERUSER}:{password}@127.0.0.1:{server.port}/{database}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _leave(self) -> None:
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _own_address(self) -> str:
        """By which its replicas reach it: a libpq connection string."""
        server = self._running()
        return make_conninfo(host=server.socket_dir, port=server.port, user=cluster.SUPERUSER)

    def _running(self) -> "Postmaster":
        server = find_postmaster(self.data_dir)
        if server is None:
            raise EmbeddedPostgresError(f"No server runs on {str(self.data_dir)!r}: call start() first.")
        return server

    def _join_or_launch(self, account: "Account") -> None:
        server = find_postmaster(self.data_dir)
        if server is not None and server.status == "stopping":
            process.halt(server, self.data_dir, self.timeout)
            server = None
        keep = self.data_dir / cluster.KEEP_FILE
        if server is None:
            keep.unlink(missing_ok=True)
            server = self._launch(account)
        else:
            server = process.wait_until_ready(self.data_dir, self.timeout)
            self._check_port(server)
        if self.keep:
            keep.touch(mode=0o600)
            account.own(keep)
        self._provide(server, account)

    def _launch(self, account: "Account") -> "Postmaster":
        directory = cluster.socket_directory(self.data_dir, account)
        quoted = str(directory).replace('"', '""')
        port = process.library().find_suitable_port() if self.port == 0 else self.port
        settings = self.options | {
            "unix_socket_directories": f'"{quoted}"',
            "unix_socket_permissions": "0700",
            "hba_file": str(cluster.write_access_rules(self.data_dir, account)),
            "listen_addresses": "" if port is None else "127.0.0.1",
            "port": str(port or 5432),
        }
        try:
            return process.launch(self.data_dir, account, self.version, settings, self.timeout)
        except EmbeddedPostgresError:
            cluster.remove_socket_directory(directory, self.data_dir)
            raise

    def _check_port(self, server: "Postmaster") -> None:
        if self.port is None or (server.listens and self.port in (0, server.port)):
            return
        where = f"on port {server.port}" if server.listens else "without TCP"
        raise EmbeddedPostgresError(
            f"The server of {str(self.data_dir)!r} already runs {where}, and port {self.port!r} was asked "
            f"for: stop it first with stop(force=True), or leave port out."
        )

    def _provide(self, server: "Postmaster", account: "Account") -> None:
        """The password and the database that ``url`` promises."""
        password = None
        if self.port is not None and cluster.read_password(self.data_dir) is None:
            password = cluster.new_password(self.data_dir, account)
        if password is None and self.database == "postgres":
            return
        with psycopg.connect(
            host=server.socket_dir,
            port=server.port,
            user=cluster.SUPERUSER,
            dbname="postgres",
            autocommit=True,
        ) as connection:
            if password is not None:
                role = sql.Identifier(cluster.SUPERUSER)
                connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password)))
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.database]).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))


def _checked_options(options: Mapping[str, str | int | float | bool]) -> dict[str, str]:
    reserved = sorted(_RESERVED.intersection(name.lower() for name in options))
    if reserved:
        raise EmbeddedPostgresError(
            f"The option {reserved[0]!r} is set by EmbeddedPostgres itself: "
            f"take it out of options (for TCP, pass port=)."
        )
    return {
        name: ("on" if value else "off") if isinstance(value, bool) else str(value) for name, value in options.items()
    }
