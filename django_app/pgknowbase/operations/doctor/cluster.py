"""The Citus cluster over which stores are distributed."""

from collections.abc import Iterator

from pgknowbase.core import gateway
from pgknowbase.operations.doctor.findings import Finding, error, warning

# Citus ends what a crash has left prepared each minute (citus.recover_2pc_interval).
PREPARED_FOR = "2 minutes"


def servers(using: str) -> Iterator[Finding]:
    """Servers that hold shards and do not answer, or hold transactions that nobody ends."""
    for host, port, answers in gateway.fetch(using, "cluster"):
        if not answers:
            yield error(
                "cluster.server",
                f"The server {host}:{port} of the cluster does not answer: searches in a distributed space fail, and"
                " what is written there waits.",
                "Start it. What waits is written then.",
            )
    for host, port, prepared in gateway.fetch(using, "cluster_prepared", older_than=PREPARED_FOR):
        yield warning(
            "cluster.prepared",
            f"The server {host}:{port} of the cluster holds {prepared} prepared transactions, which nobody has"
            f" ended for {PREPARED_FOR}: what they wrote is not visible, their locks stop writers, and VACUUM"
            " removes nothing of what came after.",
            "SELECT recover_prepared_transactions();",
            "If they stay, set citus.recover_2pc_interval of the coordinator to a minute, and start all servers.",
        )
