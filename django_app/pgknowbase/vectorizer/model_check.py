"""Noticing another model behind the same name, by what it answers to a fixed text.

A server may load another model under its name, a file of weights may be replaced, an option may change what is sent.
Vectors of two models must not meet in one space: their distances say nothing, and no error tells.
"""

import logging
import math
import operator
import time
from array import array
from hashlib import sha256

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.costs.calls import Call, Record
from pgknowbase.costs.ledger import EmbeddingUsage
from pgknowbase.embeddings.base import Embedder, Vector
from pgknowbase.errors import (
    EmbeddingSetupError,
    ModelChangedError,
    PermanentEmbeddingError,
    PgKnowbaseError,
    RefusedEmbeddingError,
)
from pgknowbase.models import EmbeddingSpace, ModelProbe
from pgknowbase.vectorizer.embedding import ask

logger = logging.getLogger("pgknowbase.vectorizer")

# Words, letters and digits of several kinds, since another tokenizer may differ in some of them alone.
PROBE = (
    "Pump P-101 runs at 3.14 bar; the operator's manual (2nd ed., p. 77) was last revised by Müller & García on"
    " 2024-03-01. def restart(pump): return pump.state != 'off'"
)
# The cosine of two answers of one model is above 0.9999, whatever machine or precision of numbers a provider takes.
# Those of the same weights at 8 and 32 bits have 0.98.
MIN_SIMILARITY = 0.99
# Seconds between two questions; one is a call of one text.
CHECK_INTERVAL = 3600.0
# After an answer of another model, and while nothing waits after no answer.
RETRY_INTERVAL = 60.0


class ModelCheck:
    """Compares the model that answers now with the one that a space was made by, for one executor.

    Args:
        note: told of each call, as the ledger is.

    Attributes:
        vector: the first answer, which the database keeps, as 4-byte floats; empty until it is known.

    >>> check = ModelCheck("default", space)
    >>> check.run(embedder)  # asks at most once an hour
    """

    def __init__(self, using: str, space: EmbeddingSpace, *, note: Record = lambda call: None) -> None:
        self.using = using
        self.space = space
        self.note = note
        self.vector = b""
        self._due_at = self._due_while_idle_at = 0.0
        self._changed: ModelChangedError | None = None

    def fingerprint(self, embedder: Embedder) -> str:
        """What decides a vector besides its text: that of the embedder, and what its model answered at first."""
        return _fingerprint(embedder, self.vector)

    @property
    def is_due(self) -> bool:
        """Whether ``run`` would make a call."""
        return time.monotonic() >= self._due_at

    @property
    def is_due_while_idle(self) -> bool:
        """Whether ``run_while_idle`` would make a call."""
        return time.monotonic() >= max(self._due_at, self._due_while_idle_at)

    def run(self, embedder: Embedder) -> None:
        """Ask the model, if that is due.

        Raises:
            ModelChangedError: it is another one than before; so says every call until it is asked again.
            EmbeddingError: the provider does not answer; the next call asks again.
        """
        if self.is_due:
            self._ask(embedder)
        elif self._changed is not None:
            raise self._changed

    def run_while_idle(self, embedder: Embedder) -> None:
        """As ``run`` while nothing waits, when a provider that does not answer is nobody's trouble."""
        if self.is_due_while_idle:
            self._due_while_idle_at = time.monotonic() + RETRY_INTERVAL
            try:
                self._ask(embedder)
            except ModelChangedError:
                raise
            except PgKnowbaseError as error:
                logger.info("the model of the space %r could not be checked: %s", self.space.name, error)

    def run_while_changed(self, embedder: Embedder) -> None:
        """As ``run`` after an answer of another model, before anything is leased."""
        if self._changed is not None:
            self.run(embedder)

    def _ask(self, embedder: Embedder) -> None:
        try:
            answer = self._answer(embedder)
        except PermanentEmbeddingError as error:
            if isinstance(error, RefusedEmbeddingError | EmbeddingSetupError):
                raise
            # A model that has no usable vector for this text tells nothing by it.
            logger.info("the model of the space %r cannot be checked: %s", self.space.name, error)
            self._due_at = time.monotonic() + RETRY_INTERVAL
            return
        ((kept, was_changed),) = gateway.fetch(
            self.using, "model_probe", space=self.space.pk, vector=self._known_answer(answer)
        )
        self.vector = bytes(kept)
        similarity = _cosine(array("f", self.vector), answer)
        if similarity >= MIN_SIMILARITY:
            self._due_at, self._changed = time.monotonic() + CHECK_INTERVAL, None
            if was_changed:
                gateway.fetch(self.using, "model_is_the_same", space=self.space.pk)
                logger.warning("%r answers as before: the space %r is filled again", embedder.model, self.space.name)
            return
        self._due_at = time.monotonic() + RETRY_INTERVAL
        remedies = remedy(self.using, is_active=self.space.is_active)
        self._changed = ModelChangedError(f"{describe_change(self.space, similarity)} {remedies}")
        gateway.fetch(self.using, "model_changed", space=self.space.pk, similarity=similarity)
        logger.error("%s", self._changed)
        raise self._changed

    def _answer(self, embedder: Embedder) -> Vector:
        """The vector of the fixed text, by a call that is billed as any other: no model's source, and no tenant's."""
        usage = EmbeddingUsage(self.using, embedder, self.space.name, {})

        def record(call: Call) -> None:
            usage.add(call)
            self.note(call)

        try:
            vectors, _ = ask(embedder, [PROBE], record=record)
        finally:
            usage.write()
        return vectors[PROBE][0]

    def _known_answer(self, answer: Vector) -> bytes:
        """The same model's first answer for another space, also a dropped one: what it made is of one kind."""
        for vector in ModelProbe.objects.using(self.using).order_by("space_id").values_list("vector", flat=True):
            known = array("f", bytes(vector))
            if len(known) == len(answer) and _cosine(known, answer) >= MIN_SIMILARITY:
                return known.tobytes()
        return array("f", answer).tobytes()


def known_fingerprints(using: str, embedder: Embedder) -> list[str]:
    """The fingerprints that vectors of this embedder may have, without asking its model which one it is now."""
    answers = {bytes(vector) for vector in ModelProbe.objects.using(using).values_list("vector", flat=True)}
    size = embedder.dimensions * array("f").itemsize
    return [_fingerprint(embedder, answer) for answer in (b"", *sorted(answers)) if len(answer) in (0, size)]


def _fingerprint(embedder: Embedder, answer: bytes) -> str:
    return embedder.fingerprint + (f" {sha256(answer).hexdigest()[:16]}" if answer else "")


def describe_change(space: EmbeddingSpace, similarity: float) -> str:
    """What is known of another model behind the name of a space's model, in two sentences."""
    return (
        f"Another model answers by the name of {space.model!r}: it embeds a fixed text with a cosine of"
        f" {similarity:.3f} to what the model of the space {space.name!r} made of it. Nothing is embedded, as vectors"
        " of two models cannot be compared."
    )


def remedy(using: str, *, is_active: bool) -> str:
    """What people can do about it, for the active space of the database ``using`` or for another space."""
    if not is_active:
        return "Bring the former model (or its options) back; or drop this space and add it again."
    add, rebuild, accept = (
        command_line(f"pgknowbase_space {action}", using) for action in ("add NAME", "rebuild", "accept")
    )
    return (
        f"Bring the former model (or its options) back; or embed everything anew, beside the space with {add!r} or in"
        f" its place with {rebuild!r}; or, if the difference does not matter, run {accept!r}."
    )


def _cosine(one: Vector, other: Vector) -> float:
    product: float = sum(map(operator.mul, one, other))
    return product / (math.hypot(*one) * math.hypot(*other))
