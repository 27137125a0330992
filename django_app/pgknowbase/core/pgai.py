"""The one door to the package ``pgai``: its catalog in the database, and its configuration of a vectorizer."""

import json
import os
from typing import Any


def install_catalog(conninfo: str) -> None:
    """Install pgai's catalog (schema ``ai``) through a connection of its own; does nothing where it exists."""
    disable_tracing()
    import pgai  # slow, and starts ddtrace: only where it is used

    pgai.install(conninfo)


def load_vectorizer(row: str) -> Any:
    """pgai's ``Vectorizer`` of a row of ``ai.vectorizer``, which is given as JSON text."""
    disable_tracing()
    from pgai.vectorizer import Vectorizer  # slow, and starts ddtrace: only where it is used

    return Vectorizer.model_validate(json.loads(row))


def recursive_splitter(chunking: Any, *, chunk_size: int, chunk_overlap: int) -> Any:
    """A vectorizer's recursive splitter with other sizes; of another kind of splitter, one that cuts at white space."""
    from pgai.vectorizer.chunking import LangChainRecursiveCharacterTextSplitter

    usual = {
        "implementation": "recursive_character_text_splitter",
        "separators": ["\n\n", "\n", " ", ""],
        "is_separator_regex": False,
    }
    own = chunking.model_dump() if chunking.implementation == usual["implementation"] else usual
    sizes = {"chunk_size": chunk_size, "chunk_overlap": chunk_overlap}
    return LangChainRecursiveCharacterTextSplitter.model_validate({**own, **sizes})


def disable_tracing() -> None:
    """Keep ddtrace, which ``import pgai`` starts, from sending anything unless the environment asks for it."""
    os.environ.setdefault("DD_TRACE_ENABLED", "false")
    os.environ.setdefault("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false")
    os.environ.setdefault("DD_REMOTE_CONFIGURATION_ENABLED", "false")
