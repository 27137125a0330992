"""What the ledger counts: kinds of use, and one call to a provider of embeddings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import models

from pgknowbase.embeddings.rate_headers import ReportedRate

# A usual share of natural text in Latin script; what the ledger knows of a model is better.
CHARACTERS_PER_TOKEN = 4
# Marks that a model adds to each text, such as [CLS] and [SEP], and room for a prefix.
_MARKS_PER_TEXT = 64
_MOST_CHARACTERS_PER_TOKEN = 200


class UsageKind(models.TextChoices):
    """What was paid for."""

    EMBEDDING = "embedding", "Embedding of documents"
    QUERY = "query", "Embedding of queries"
    RERANK = "rerank", "Reranking"
    CHAT = "chat", "Chat"
    AGENT = "agent", "Agent"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was made, whether or not it has brought vectors.

    Attributes:
        tokens: of each text, where the backend knows them.
        total_tokens: what the provider says that it bills; None where it says nothing.
        retried: it sent a text that an earlier call had sent in vain.
        seconds: it took.
        rate: what the provider has said of its limits.
        throttled: it was answered that the account may not ask now.
    """

    texts: Sequence[str]
    tokens: Sequence[int] | None = None
    total_tokens: int | None = None
    failed: bool = False
    retried: bool = False
    seconds: float = 0.0
    rate: ReportedRate | None = None
    throttled: bool = False

    @property
    def characters(self) -> int:
        """Of all texts together."""
        return sum(map(len, self.texts))

    @property
    def reported_tokens(self) -> int | None:
        """What the provider or the backend's tokenizer says of the whole call; None where neither says anything."""
        if self.total_tokens is not None:
            return self.total_tokens
        return None if self.tokens is None else sum(self.tokens)

    @property
    def is_doubtful(self) -> bool:
        """Whether no tokenizer can count so: fewer tokens than texts, or more than there are bytes."""
        reported = self.reported_tokens
        if reported is None or self.failed:
            return False
        characters, marks = self.characters, _MARKS_PER_TEXT * len(self.texts)
        if reported < max(len(self.texts), characters // _MOST_CHARACTERS_PER_TOKEN):
            return True
        # Most calls have fewer tokens than characters, so that nobody has to count the bytes.
        return reported > characters + marks and reported > marks + sum(
            len(text.encode(errors="replace")) for text in self.texts
        )

    @property
    def billed_tokens(self) -> int:
        """What the call counts for: the reported number; an estimate where there is none or it cannot be.

        A call that failed counts for what its provider says it has billed nevertheless, else for nothing.
        """
        reported = self.reported_tokens
        if self.failed:
            return max(reported or 0, 0)
        return estimate_tokens(self.texts) if reported is None or self.is_doubtful else reported

    @property
    def estimated_tokens(self) -> int:
        """The part of ``billed_tokens`` that is an estimate."""
        is_estimate = not self.failed and (self.reported_tokens is None or self.is_doubtful)
        return self.billed_tokens if is_estimate else 0


Record = Callable[[Call], object]


def estimate_tokens(texts: Sequence[str]) -> int:
    """About how many tokens the texts have, where nobody has counted them."""
    return sum(max(1, round(len(text) / CHARACTERS_PER_TOKEN)) for text in texts)


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` in shares by weight, as whole numbers whose sum is exactly ``total``.

    >>> apportion(10, [1, 1, 1])
    [3, 3, 4]
    """
    whole = sum(weights) or len(weights)
    shares, given, weighed = [], 0, 0
    for weight in weights:
        weighed += weight if sum(weights) else 1
        shares.append(total * weighed // whole - given)
        given += shares[-1]
    return shares
