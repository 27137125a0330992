"""Embedding models in folders: how the vectors of a text's tokens become one, and what stands before texts.

``modules.json`` and the files that it names are sentence-transformers' own (Reimers and Gurevych 2019).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pgknowbase.embeddings.folder import ModelFolder, ports_shown, read_json
from pgknowbase.embeddings.loaded import Loaded
from pgknowbase.embeddings.onnx_header import FLOATS, Port
from pgknowbase.errors import ConfigurationError, EmbeddingSetupError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

POOLINGS: Final = ("mean", "cls", "last", "max")

_MODES: Final = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
}
_SPELLINGS: Final = {"lasttoken": "last", "last_token": "last", "cls_token": "cls"}
# Outputs that are one vector a text, or one a token. 'pooler_output' is what a model was trained with before it
# embedded anything, and 'logits' are no vectors.
_SENTENCE: Final = ("sentence_embedding", "sentence_embeddings", "text_embeds", "embedding", "embeddings")
_TOKENS: Final = ("last_hidden_state", "token_embeddings", "hidden_states")
_NO_VECTORS: Final = ("logits", "pooler_output")
_KNOWN_MODULES: Final = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True)
class ExportedModel:
    """An embedding model in a folder.

    Attributes:
        folder: where it is.
        dimensions: of its vectors, after they are cut.
        pooling: one of ``POOLINGS``, or None where the graph pools.
        query_prefix: what stands before a search text, ``document_prefix`` what stands before a document's.
    """

    folder: ModelFolder
    output: str
    dimensions: int
    pooling: str | None
    query_prefix: str
    document_prefix: str

    @classmethod
    def read(
        cls,
        folder: ModelFolder,
        *,
        dimensions: int,
        truncate: bool = False,
        pooling: str | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
    ) -> "ExportedModel":
        """Look at the rest of the folder. What is None is what the folder says.

        Raises:
            ConfigurationError: names what is wrong, and what to do.
        """
        if pooling is not None and pooling not in POOLINGS:
            raise ConfigurationError(f"POOLING {pooling!r} is unknown: use one of {POOLINGS!r}.")
        output = _output(folder)
        modules = _modules(folder.path)
        pools = None if output.shape is not None and len(output.shape) == 2 else pooling or _pooling(folder, modules)
        if pools is not None and (extra := [kind for kind, _ in modules if kind not in _KNOWN_MODULES]):
            raise ConfigurationError(
                f"The vectors of the model in {str(folder.path)!r} pass {extra!r} after pooling, which its graph does"
                " not have: export it with its output 'sentence_embedding', as sentence-transformers does."
            )
        _check_width(folder, output, dimensions, truncate=truncate)
        found_query, found_document = _prefixes(folder.path)
        query_prefix = _checked_prefix("QUERY_PREFIX", query_prefix, found_query)
        document_prefix = _checked_prefix("DOCUMENT_PREFIX", document_prefix, found_document)
        pools_prefixes = read_json(_pooling_file(folder, modules)).get("include_prompt", True)
        if (query_prefix or document_prefix) and not pools_prefixes:
            raise ConfigurationError(
                f"The model in {str(folder.path)!r} leaves prefixes out of its vectors ('include_prompt'), which is not"
                " supported: take another model."
            )
        return cls(folder, output.name, dimensions, pools, query_prefix, document_prefix)

    @property
    def max_tokens(self) -> int:
        """See ``ModelFolder``."""
        return self.folder.max_tokens

    @property
    def path(self) -> Path:
        """Of the ONNX file."""
        return self.folder.model

    @property
    def fingerprint(self) -> str:
        """What decides a document's vector besides the text: files, pooling and prefix."""
        return repr((self.folder.digest, self.output, self.pooling, self.document_prefix, self.folder.max_tokens))

    def open(self) -> Loaded:
        """The model in memory.

        Raises:
            ConfigurationError: a file is damaged, the model does not run, or its vectors are not what was set.
        """
        loaded = Loaded(self.folder.open_tokenizer(), partial(self.vector, self.folder.open_session()))
        try:
            loaded.vector(loaded.tokenizer.encode("a").ids)
        except EmbeddingSetupError as error:
            raise ConfigurationError(str(error)) from error
        return loaded

    def vector(self, session: Any, ids: Sequence[int]) -> "Floats":
        """The vector of a text of these tokens, of length 1.

        Raises:
            EmbeddingSetupError: the model does not run, or its output has another shape.
        """
        import numpy as np

        try:
            (found,) = session.run([self.output], self.folder.feeds(ids))
        except Exception as error:  # each of onnxruntime's errors is a class beneath Exception alone
            raise EmbeddingSetupError(
                f"The model {str(self.folder.model)!r} fails for a text of {len(ids)} tokens ({error}): check that its"
                " tokenizer is its own, and that it reads MAX_TOKENS."
            ) from error
        pooled = self._pooled(np.asarray(found), len(ids))
        if pooled is None or len(pooled) < self.dimensions:
            raise EmbeddingSetupError(
                f"The output {self.output!r} of {str(self.folder.model)!r} has the shape {np.shape(found)!r} for a text"
                f" of {len(ids)} tokens, of which {self.dimensions} dimensions cannot be made: correct DIMENSIONS, or"
                " export the model anew."
            )
        cut = pooled[: self.dimensions].astype(np.float32)
        length = np.linalg.norm(cut)
        vector: Floats = cut / length if length > 0 else cut
        return vector

    def _pooled(self, found: "npt.NDArray[Any]", tokens: int) -> "npt.NDArray[Any] | None":
        if found.ndim == 2 and len(found) == 1:
            row: npt.NDArray[Any] = found[0]
            return row
        if self.pooling is None or found.ndim != 3 or found.shape[:2] != (1, tokens):
            return None
        return pool(found[0], self.pooling)


def pool(vectors: "npt.NDArray[Any]", pooling: str) -> "npt.NDArray[Any]":
    """One vector from those of the tokens (tokens, width)."""
    if pooling == "cls":
        chosen: npt.NDArray[Any] = vectors[0]
    elif pooling == "last":
        chosen = vectors[-1]
    elif pooling == "max":
        chosen = vectors.max(axis=0)
    else:
        chosen = vectors.mean(axis=0, dtype="float32")
    return chosen


def _output(folder: ModelFolder) -> Port:
    """The output to read: one vector a text where the graph has it, else one a token."""
    usable = [port for port in folder.header.outputs if port.kind in FLOATS and port.name not in _NO_VECTORS]
    by_name = {port.name: port for port in usable}
    for name in (*_SENTENCE, *_TOKENS):
        if name in by_name and _ranks(by_name[name]):
            return by_name[name]
    for rank in (3, 2):
        for port in usable:
            if port.shape is not None and len(port.shape) == rank:
                return port
    raise ConfigurationError(
        f"{str(folder.model)!r} has the outputs {ports_shown(folder.header.outputs)}, none of which is a vector for"
        " each token or text: export it for the task 'feature-extraction'."
    )


def _ranks(port: Port) -> bool:
    return port.shape is None or len(port.shape) in (2, 3)


def _modules(path: Path) -> list[tuple[str, str]]:
    """The steps that sentence-transformers takes: kind, such as 'Pooling', and folder."""
    file = path / "modules.json"
    try:
        found = json.loads(file.read_bytes())
        return [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in found]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigurationError(f"{str(file)!r} is not a list of modules ({error!r}): copy it anew.") from error


def _pooling_file(folder: ModelFolder, modules: list[tuple[str, str]]) -> Path:
    places = [place for kind, place in modules if kind == "Pooling"] or ["1_Pooling"]
    return folder.path / places[0] / "config.json"


def _pooling(folder: ModelFolder, modules: list[tuple[str, str]]) -> str:
    file = _pooling_file(folder, modules)
    config = read_json(file)
    if not config:
        raise ConfigurationError(
            f"{str(folder.path)!r} does not say how the vectors of tokens become one, as '1_Pooling/config.json' would:"
            f" set POOLING to one of {POOLINGS!r}, by the model's documentation."
        )
    named = config.get("pooling_mode")
    modes = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    modes = modes or [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    chosen = [_MODES.get(mode) or _SPELLINGS.get(mode, mode) for mode in modes if isinstance(mode, str)]
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise ConfigurationError(
            f"{str(file)!r} asks for the pooling {modes!r}, which is none of {POOLINGS!r}: take another model, or set"
            " POOLING."
        )
    return chosen[0]


def _check_width(folder: ModelFolder, output: Port, dimensions: int, *, truncate: bool) -> None:
    width = output.shape[-1] if output.shape else None
    if width is None and output.name in _TOKENS:
        found = folder.config.get("hidden_size")
        width = found if type(found) is int else None
    if width is None or width == dimensions or (truncate and dimensions < width):
        return
    if dimensions > width:
        raise ConfigurationError(
            f"The model in {str(folder.path)!r} has {width} dimensions, not {dimensions}: set DIMENSIONS to {width}."
        )
    raise ConfigurationError(
        f"The model in {str(folder.path)!r} has {width} dimensions, not {dimensions}: set DIMENSIONS to {width}, or, if"
        " it was trained for shorter vectors (Matryoshka), TRUNCATE to True."
    )


def _prefixes(path: Path) -> tuple[str, str]:
    """What the folder puts before queries and documents."""
    file = path / "config_sentence_transformers.json"
    config = read_json(file)
    prompts: Any = config.get("prompts") or {}
    if not isinstance(prompts, Mapping) or not all(isinstance(text, str) for text in prompts.values()):
        raise ConfigurationError(f"The 'prompts' of {str(file)!r} are not texts by name: copy it anew.")
    usual = prompts.get(str(config.get("default_prompt_name")), "")
    documents = next((prompts[name] for name in ("document", "passage") if name in prompts), usual)
    return prompts.get("query", usual), documents


def _checked_prefix(option: str, given: object, found: str) -> str:
    if given is None:
        return found
    if not isinstance(given, str):
        raise ConfigurationError(f"{option} is {given!r}: set a text, or leave it out.")
    return given
