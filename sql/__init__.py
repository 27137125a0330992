"""Every SQL object that pgknowbase has, one file each, in the order in which a row meets them."""

from functools import cache
from importlib.resources import files


@cache
def read_sql(path: str) -> str:
    """The text of one SQL file, such as ``'2_outbox/pgknowbase_outbox_claim_v1.sql'``."""
    return files(__name__).joinpath(path).read_text(encoding="utf-8")
