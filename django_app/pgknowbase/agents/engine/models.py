"""From the name of a model to a client that can ask it. Keys come from the environment alone, never from settings."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx2
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model

from pgknowbase.agents.runs.contract import HOW_TO_CONFIGURE
from pgknowbase.conf import ProviderSettings, get_settings
from pgknowbase.errors import NoModelError

OPENAI = ("openai", "openai-chat", "openai-responses")


def model_label(model: Any) -> str:
    """The model as its row names it: ``provider:name``."""
    if isinstance(model, Model):
        return f"{model.system}:{model.model_name}"
    return str(model or "")


@asynccontextmanager
async def open_model(model: Any, agent_name: str) -> AsyncIterator[Model]:
    """The model of one run, with an HTTP client that is closed at the end of the block.

    Each run has its own client because connections belong to an event loop, and ``run_sync`` starts a loop for each
    run: a shared client would break in the next one. A model instance is returned as it is; its client belongs to its
    maker.

    Raises:
        NoModelError: there is no model, or it cannot be reached with these settings.
    """
    if isinstance(model, Model):
        yield model
        return
    timeout = httpx2.Timeout(600, connect=10)
    async with httpx2.AsyncClient(verify=_ssl_context(), timeout=timeout) as client:
        opened = _resolve(model, agent_name, client)
        async with opened:
            yield opened


@cache
def _ssl_context() -> ssl.SSLContext:
    """Made once per process: reading the certificates takes a hundred times longer than the rest of making a client."""
    return httpx2.create_ssl_context()


def _resolve(model: Any, agent_name: str, client: httpx2.AsyncClient) -> Model:
    if not model:
        raise NoModelError(f"Agent {agent_name!r} has no model: {HOW_TO_CONFIGURE}.")
    if not isinstance(model, str):
        raise NoModelError(f"Agent {agent_name!r} has {type(model).__name__!r} for a model: {HOW_TO_CONFIGURE}.")
    prefix, colon, name = model.partition(":")
    if not colon or not name:
        raise NoModelError(f"Agent {agent_name!r} has the model {model!r}: write it as 'provider:name'.")
    try:
        if provider := get_settings().agents.providers.get(prefix):
            return _openai_compatible(prefix, name, provider, client)
        return infer_model(model, lambda _: _openai_provider(client)) if prefix in OPENAI else infer_model(model)
    except (UserError, ImportError) as error:
        raise NoModelError(
            f"Agent {agent_name!r} cannot use the model {model!r}: {error} Correct it, or add {prefix!r} to"
            " PGKNOWBASE['AGENTS']['PROVIDERS']."
        ) from error


def _openai_compatible(prefix: str, name: str, provider: ProviderSettings, client: httpx2.AsyncClient) -> Model:
    # The extra of one provider: agents that use another one need no openai package.
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    key = os.environ.get(provider.api_key_env) if provider.api_key_env else None
    if provider.api_key_env and not key:
        raise NoModelError(
            f"PROVIDERS[{prefix!r}] takes its key from the environment variable {provider.api_key_env!r}, which is not"
            " set: set it where agents run."
        )
    compatible = OpenAICompatibleProvider(prefix, base_url=provider.base_url, api_key=key, http_client=client)
    return OpenAIChatModel(name, provider=compatible)


def _openai_provider(client: httpx2.AsyncClient) -> Any:
    from pydantic_ai.providers.openai import OpenAIProvider  # the extra of one provider

    return OpenAIProvider(http_client=client)
