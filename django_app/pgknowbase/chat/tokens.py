"""How many tokens a text has, before a model says so."""

from collections.abc import Iterable

BYTES_PER_TOKEN = 3


def estimated(text: str) -> int:
    """An estimate that errs upwards: models differ, and their tokenizers come from the network.

    Three bytes of UTF-8 are a token: English has four to five bytes in one, a CJK character is three bytes.
    """
    return -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN)


def fitting(texts: Iterable[str], budget: int) -> int:
    """How many of the first texts fit the budget together."""
    count = 0
    for text in texts:
        budget -= estimated(text)
        if budget < 0:
            break
        count += 1
    return count
