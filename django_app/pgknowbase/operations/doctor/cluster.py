"""The Citus cluster over which stores are distributed."""

from collections.abc import Iterator

from pgknowbase.core import gateway
from pgknowbase.operations.doctor.findings import Finding, error


def servers(using: str) -> Iterator[Finding]:
    """Servers that hold shards and do not answer."""
    for host, port, answers in gateway.fetch(using, "cluster"):
        if not answers:
            yield error(
                "cluster.server",
                f"The server {host}:{port} of the cluster does not answer: searches in a distributed space fail, and"
                " what is written there waits.",
                "Start it. What waits is written then.",
            )
