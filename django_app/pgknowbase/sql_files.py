"""Reading the files of ``pgknowbase.sql``."""

from functools import cache
from importlib.resources import files


@cache
def read_sql(path: str) -> str:
    """The text of one SQL file, such as ``'2_outbox/pgknowbase_outbox_claim_v1.sql'``."""
    return files("pgknowbase.sql").joinpath(path).read_text(encoding="utf-8")
