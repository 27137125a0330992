"""Runs of random writes: each step is one transaction, and step n of a seed is always drawn alike."""

import os
import random
from collections import Counter

from django.db import DatabaseError, IntegrityError, transaction

from tests.reliability import typed_writes
from tests.reliability.writes import OPERATIONS, Press

SEED = int(os.environ.get("PGKNOWBASE_PROOF_SEED") or random.SystemRandom().randrange(10**9))
# Operations of one run of each test; a longer proof is PGKNOWBASE_PROOF_OPERATIONS=100000.
COUNT = int(os.environ.get("PGKNOWBASE_PROOF_OPERATIONS") or 1200)
EACH_FROM = 150
TELL = f"PGKNOWBASE_PROOF_SEED={SEED} PGKNOWBASE_PROOF_OPERATIONS={COUNT}"


class _RollbackError(Exception):
    pass


class Run:
    """Steps of one writer. ``log`` says what each did, ``count`` how many operations they were."""

    def __init__(self, name):
        self.name = name
        self.log = []
        self.counts = Counter()

    @property
    def count(self):
        return self.counts.total()

    def step(self, number):
        """One to four operations: each by itself, or committed, rolled back or undone to a savepoint together."""
        draw = random.Random(f"{SEED} {self.name} {number}")
        manner = draw.choices(["alone", "together", "rollback", "savepoint"], [6, 2, 1, 1])[0]
        functions, weights = zip(*OPERATIONS, strict=True)
        chosen = draw.choices(functions, weights, k=1 if manner == "alone" else draw.randint(1, 4))
        if 0 <= number - EACH_FROM < len(functions):  # none is left to chance
            chosen[0] = functions[number - EACH_FROM]
        if lone := [function for function in chosen if function.is_alone]:
            manner, chosen = "alone", lone[:1]
        told = f"{self.name} {number} {manner} {' '.join(function.__name__ for function in chosen)}"
        try:
            if draw.random() < 0.5 and not lone:
                told += f" under {typed_writes.configure(draw)}"
            getattr(self, f"_{manner}")(chosen, Press(draw))
        except (IntegrityError, DatabaseError) as error:
            # Another writer was faster, or the rows refuse it: Postgres has rolled back.
            told += f" -> {type(error).__name__} {str(error).splitlines()[0]}"
            self.counts["refused"] += 1
        typed_writes.reset()
        self.log.append(told)

    def _alone(self, chosen, press):
        self._do(chosen, press)

    def _together(self, chosen, press):
        with transaction.atomic():
            self._do(chosen, press)

    def _rollback(self, chosen, press):
        try:
            with transaction.atomic():
                self._do(chosen, press)
                raise _RollbackError
        except _RollbackError:
            pass

    def _savepoint(self, chosen, press):
        with transaction.atomic():
            self._do(chosen[:1], press)
            self._rollback(chosen[1:], press)
            self._do(chosen[-1:], press)

    def _do(self, chosen, press):
        for function in chosen:
            function(press)
            self.counts[function.__name__] += 1
