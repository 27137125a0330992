"""Prices of tokens: from the settings, else from the package genai-prices, else unknown."""

from decimal import Decimal
from functools import lru_cache

from pgknowbase.conf import get_settings
from pgknowbase.core.importing import importing

MILLION = Decimal(1_000_000)


def embedding_price(model: str, provider: str) -> Decimal | None:
    """US dollars of one token that an embedding model reads; None where nobody knows it.

    A model that runs in the worker costs nothing, unless ``PRICES`` names it.

    Args:
        model: as the backend knows it: 'text-embedding-3-small', or 'openai:text-embedding-3-small' with its provider.
        provider: the host of its server; '' for this process.

    >>> embedding_price("text-embedding-3-small", "api.openai.com")
    Decimal('2E-8')
    """
    price = get_settings().costs.prices.get(model)
    if price is not None:
        return price.input / MILLION
    return Decimal(0) if not provider else _known_price(model, provider)


@lru_cache(maxsize=256)
def _known_price(model: str, provider: str) -> Decimal | None:
    try:
        with importing:
            from genai_prices import Usage, calc_price  # comes with the extra 'agents'
    except ImportError:
        return None
    # Without the provider's name it would look among chat models only.
    named, _, name = model.rpartition(":")
    usage = Usage(input_tokens=int(MILLION))
    try:
        if named:
            found = calc_price(usage, name, provider_id=named)
        else:
            found = calc_price(usage, name, provider_api_url=f"https://{provider}")
    except LookupError:
        return None
    return Decimal(found.total_price) / MILLION
