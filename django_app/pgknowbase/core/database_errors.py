"""What a person can do about an error of the database."""

from django.db.utils import OperationalError

from pgknowbase.core.command_line import command_line
from pgknowbase.errors import ServerDownError

_UNREACHABLE = ("08", "28", "3D", "53", "57P")
_NOT_MIGRATED = ("42P01", "42883", "3F000")
_REMEDIES = {
    "password": "Correct USER and PASSWORD in DATABASES.",
    "pg_hba.conf": "Let pg_hba.conf of the server admit this user from this machine.",
    "role ": "Correct USER in DATABASES, or create the role.",
    "database ": "Correct NAME in DATABASES, or create the database.",
    "too many clients": "Stop some programs, or raise max_connections of the server.",
    "connection slots": "Stop some programs, or raise max_connections of the server.",
    "resolve": "Correct HOST in DATABASES.",
}


def is_of_cluster(error: Exception) -> bool:
    """Whether the server has answered, and one of its Citus cluster has not: the connection itself is whole."""
    state, text = getattr(error.__cause__, "sqlstate", None) or "", str(error)
    return state.startswith("08") or (state.startswith("57P") and "while executing command on" in text)


def server_down(error: Exception, using: str, so: str) -> ServerDownError:
    """An error for one that ``is_of_cluster``; ``so`` says what there is not, as in 'the search has no answer'."""
    reason = str(error).partition("\n")[0]
    return ServerDownError(
        f"A server of the cluster does not answer, so {so}: {reason}. Start it;"
        f" {command_line('pgknowbase_doctor', using)!r} names the servers that do not answer."
    )


def explain(error: Exception, using: str) -> tuple[str, str] | None:
    """What is wrong with the database ``using`` and what to do, or None where only the traceback can tell."""
    state = getattr(error.__cause__, "sqlstate", None)
    lines = (line.strip() for line in str(error).splitlines())
    reason = " ".join(line for line in lines if line and not line.startswith("Is the server running"))
    if isinstance(error, OperationalError) and (state is None or state.startswith(_UNREACHABLE)):
        if state is not None and state.startswith("08"):
            return (
                f"A server of the cluster of database {using!r} does not answer: {reason.partition(' CONTEXT')[0]}.",
                "Start it; what is written meanwhile is tried again.",
            )
        remedy = next((remedy for symptom, remedy in _REMEDIES.items() if symptom in reason), None)
        return (
            f"Database {using!r} cannot be reached: {reason.rstrip('.')}.",
            remedy or "Start the server, or correct HOST and PORT in DATABASES.",
        )
    reason = str(error).strip().splitlines()[0]
    if state in _NOT_MIGRATED:
        return f"Database {using!r} lacks something: {reason}.", f"Run {command_line('migrate', using)!r}."
    if state == "42501":
        return f"Database {using!r} refuses: {reason}.", "Grant it to the USER in DATABASES (docs/sql.md)."
    return None
