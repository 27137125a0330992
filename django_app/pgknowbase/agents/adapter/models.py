"""From the name of a model to something that answers; keys come from the environment alone."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx2
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model

from pgknowbase.conf import ProviderSettings, get_settings
from pgknowbase.errors import NoModelError

HOW = (
    "name one as `model=` of the agent or of the run, or as PGKNOWBASE['AGENTS']['MODEL'], such as 'openai:gpt-4o-mini'"
)
OPENAI = ("openai", "openai-chat", "openai-responses")


def model_label(model: Any) -> str:
    """What the row says of the model: ``provider:name``."""
    if isinstance(model, Model):
        return f"{model.system}:{model.model_name}"
    return str(model or "")


@asynccontextmanager
async def opened(model: Any, agent_name: str) -> AsyncIterator[Model]:
    """The model, with a client of this run alone that ends with it, on the event loop that used it.

    An instance is its maker's: its client is not closed.

    Raises:
        NoModelError: there is no model, or it cannot be reached as the settings are.
    """
    if isinstance(model, Model):
        yield model
        return
    timeout = httpx2.Timeout(600, connect=10)
    async with httpx2.AsyncClient(verify=_trusted(), timeout=timeout) as client:
        made = _made(model, agent_name, client)
        async with made:
            yield made


@cache
def _trusted() -> ssl.SSLContext:
    """Reading the certificates takes a hundred times longer than the rest of making a client."""
    return httpx2.create_ssl_context()


def _made(model: Any, agent_name: str, client: httpx2.AsyncClient) -> Model:
    if not model:
        raise NoModelError(f"Agent {agent_name!r} has no model: {HOW}.")
    if not isinstance(model, str):
        raise NoModelError(f"Agent {agent_name!r} has {type(model).__name__!r} for a model: {HOW}.")
    prefix, colon, name = model.partition(":")
    if not colon or not name:
        raise NoModelError(f"Agent {agent_name!r} has the model {model!r}: write it as 'provider:name'.")
    try:
        if provider := get_settings().agents.providers.get(prefix):
            return _compatible(prefix, name, provider, client)
        return infer_model(model, lambda _: _openai(client)) if prefix in OPENAI else infer_model(model)
    except (UserError, ImportError) as error:
        raise NoModelError(
            f"Agent {agent_name!r} cannot use the model {model!r}: {error} Correct it, or add {prefix!r} to"
            " PGKNOWBASE['AGENTS']['PROVIDERS']."
        ) from error


def _compatible(prefix: str, name: str, provider: ProviderSettings, client: httpx2.AsyncClient) -> Model:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    key = os.environ.get(provider.api_key_env) if provider.api_key_env else None
    if provider.api_key_env and not key:
        raise NoModelError(
            f"PROVIDERS[{prefix!r}] takes its key from the environment variable {provider.api_key_env!r}, which is not"
            " set: set it where agents run."
        )
    made = OpenAICompatibleProvider(prefix, base_url=provider.base_url, api_key=key, http_client=client)
    return OpenAIChatModel(name, provider=made)


def _openai(client: httpx2.AsyncClient) -> Any:
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIProvider(http_client=client)


def without_secrets(text: str) -> str:
    """``text`` without the keys of providers, which some servers repeat in their errors."""
    names = {provider.api_key_env for provider in get_settings().agents.providers.values()}
    names |= {name for name in os.environ if name.endswith(("_API_KEY", "_TOKEN", "_SECRET"))}
    for name in names:
        value = os.environ.get(name or "", "")
        if len(value) >= 8:
            text = text.replace(value, "***")
    return text
