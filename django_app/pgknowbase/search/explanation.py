"""How a search was made, from what its SQL functions noted."""

import json
from dataclasses import dataclass

REASONS = {
    "exact_index": "exact over the index: small, {store_bytes:,} bytes of at most {small_bytes:,}",
    "exact_filtered": "exact over the filtered rows: {passing:,} pass, of at most {exact_below:,}",
    "walk": "index walk: {walked:,} chunks from the nearest on, ef_search {ef_search}",
    "retried_exactly": "retried exactly: the index gave up after {walked:,} chunks",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a search function.

    ``plan``: ``exact_index``, ``exact_filtered``, ``walk`` or ``retried_exactly``. ``passing``: objects that pass the
    filters, where they were counted. ``walked``: chunks read along the index, ``ef_search`` at a
    time. ``index``: that of the only source model searched, where it has one.
    """

    plan: str
    asked: int
    found: int
    exact_below: int
    walked: int
    passing: int | None
    ef_search: int | None
    index: str | None
    store_bytes: int | None
    small_bytes: int | None

    @classmethod
    def of(cls, noted: str, *, asked: int, found: int) -> "Step":
        """A step from what the SQL function noted, as JSON."""
        return cls(**json.loads(noted), asked=asked, found=found)

    def __str__(self) -> str:
        figures = {name: getattr(self, name) for name in self.__slots__}
        of_model = f", in {self.index}" if self.plan == "walk" and self.index else ""
        return f"{REASONS[self.plan].format(**figures)}{of_model}; {self.found} of {self.asked} found"


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search was made. More than one step: rows that its queryset leaves out were among the hits."""

    steps: tuple[Step, ...]
    limit: int
    offset: int
    found: int

    @property
    def plan(self) -> str:
        """The plan of the last step; ``nothing`` where no row passes the queryset's filters."""
        return self.steps[-1].plan if self.steps else "nothing"

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps] or ["not searched: no row passes the filters of the queryset"]
        return "\n".join(lines)
