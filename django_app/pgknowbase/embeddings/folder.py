"""Models that others exported: a folder with an ONNX file, ``tokenizer.json``, and what says how they are to be used.

The names are those of optimum, sentence-transformers and transformers.js, which write such folders, and of the
repositories of hubs. A folder is looked at when an embedder or reranker is made, so that system checks name what is
wrong with it; it is loaded at the first use.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pgknowbase.embeddings.onnx_header import INTEGERS, NUMPY_TYPES, Header, Port, read_header
from pgknowbase.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

_NAMES: Final = ("model", "model_quantized", "model_int8", "model_uint8", "model_optimized", "model_fp16")
_TOKENIZER: Final = "tokenizer.json"
# What can be given to a model without knowing more of it than its tokenizer.
_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
# Of these, places are counted from behind the id of padding.
_OFFSET_POSITIONS: Final = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"})
_NO_LIMIT: Final = 10**9  # tokenizers write 10**30 where they know of none


@dataclass(frozen=True)
class ModelFolder:
    """A folder that was looked at, and not loaded.

    Attributes:
        path: of the folder.
        model: of its ONNX file.
        header: what this says of its inputs and outputs.
        config: the values of ``config.json``, empty where there is none.
        max_tokens: that the model reads of a text, special tokens included.
    """

    path: Path
    model: Path
    header: Header
    config: Mapping[str, Any]
    max_tokens: int

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], *, file: str | None = None, max_tokens: int | None = None
    ) -> "ModelFolder":
        """Look at a folder.

        Args:
            path: of the folder.
            file: the ONNX file in it; default ``model.onnx`` or, where it has none, a quantized one, also in ``onnx/``.
            max_tokens: how many tokens of a text are read, where that is fewer than the model could.

        Raises:
            ConfigurationError: names what is wrong with the folder, and what to do.
        """
        folder = _existing(path)
        model = _model_file(folder, file)
        header = read_header(model)
        for name in sorted(header.external):
            if not (model.parent / name).is_file():
                raise ConfigurationError(
                    f"{str(model)!r} keeps weights in {name!r}, which is not beside it: copy that file too."
                )
        _check_inputs(model, header)
        _check_tokenizer(folder)
        config = read_json(folder / "config.json")
        return cls(folder, model, header, config, _max_tokens(folder, config, max_tokens))

    @cached_property
    def digest(self) -> str:
        """The sha256 of the model's files: weights and tokenizer."""
        found = hashlib.sha256()
        for file in (self.model, *(self.model.parent / name for name in sorted(self.header.external))):
            with file.open("rb") as opened:
                found.update(hashlib.file_digest(opened, "sha256").digest())
        found.update((self.path / _TOKENIZER).read_bytes())
        return found.hexdigest()

    def open_tokenizer(self) -> Any:
        """The tokenizer, without padding: each text runs by itself.

        Raises:
            ConfigurationError: it cannot be read.
        """
        from tokenizers import Tokenizer

        path = self.path / _TOKENIZER
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the package raises no class of its own
            raise ConfigurationError(
                f"{str(path)!r} is not a tokenizer that the package 'tokenizers' reads ({error}): export it anew."
            ) from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=self.max_tokens)
        return tokenizer

    def open_session(self) -> Any:
        """The model in memory; it runs on the thread that calls it.

        Raises:
            ConfigurationError: onnxruntime does not load it.
        """
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what is fatal; the rest is in the error
        try:
            return onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # each of its errors is a class beneath Exception alone
            raise ConfigurationError(
                f"onnxruntime does not load {str(self.model)!r} ({error}): export the model anew, or update"
                " onnxruntime."
            ) from error

    def feeds(self, ids: Sequence[int], types: Sequence[int] | None = None) -> "dict[str, npt.NDArray[Any]]":
        """The inputs for one text. ``types``: which of two texts each token belongs to, where there are two."""
        import numpy as np

        values: dict[str, npt.NDArray[np.int64]] = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "token_type_ids": np.array([types or [0] * len(ids)], np.int64),
            "position_ids": np.arange(len(ids), dtype=np.int64)[None],
        }
        return {port.name: values[port.name].astype(NUMPY_TYPES[port.kind]) for port in self.header.inputs}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of the folder, empty where there is no such file.

    Raises:
        ConfigurationError: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read as JSON ({error}): copy it anew.") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{str(path)!r} holds no JSON object: copy it anew.")
    return found


def _existing(path: str | os.PathLike[str]) -> Path:
    try:
        folder = Path(path).expanduser()
        entries = os.scandir(folder)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"PATH is {path!r}, which is not a path ({error}): name the model's folder."
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"The folder {str(path)!r} of PATH cannot be read ({error.strerror or error}): name the folder that has"
            " the exported model."
        ) from error
    entries.close()
    return folder


def _model_file(folder: Path, file: str | None) -> Path:
    if file is not None:
        if not isinstance(file, str) or not (folder / file).is_file():
            raise ConfigurationError(f"FILE names {file!r}, which {str(folder)!r} does not have: correct it.")
        return folder / file
    for name in _NAMES:
        for place in (folder, folder / "onnx"):
            if (found := place / f"{name}.onnx").is_file():
                return found
    others = sorted(str(path.relative_to(folder)) for at in (folder, folder / "onnx") for path in at.glob("*.onnx"))
    if len(others) == 1:
        return folder / others[0]
    if others:
        raise ConfigurationError(f"{str(folder)!r} has several models, {others!r}: name one of them in FILE.")
    raise ConfigurationError(
        f"{str(folder)!r} has no 'model.onnx', nor 'onnx/model.onnx': export the model, such as with"
        " `optimum-cli export onnx --model NAME FOLDER`."
    )


def _check_inputs(model: Path, header: Header) -> None:
    ports = {port.name: port for port in header.inputs}
    if "input_ids" not in ports:
        raise ConfigurationError(
            f"{str(model)!r} has the inputs {sorted(ports)!r}, and not 'input_ids': export a model of texts."
        )
    if unknown := sorted(ports.keys() - set(_INPUTS)):
        raise ConfigurationError(
            f"{str(model)!r} wants {unknown!r} beside its tokens: export it with no more inputs than {_INPUTS!r}."
        )
    for port in header.inputs:
        if port.kind not in NUMPY_TYPES or (port.name == "input_ids" and port.kind not in INTEGERS):
            raise ConfigurationError(
                f"The input {port.name!r} of {str(model)!r} is of a type that cannot be given: export it with integers."
            )


def _check_tokenizer(folder: Path) -> None:
    path = folder / _TOKENIZER
    try:
        with path.open("rb") as file:
            begin = file.read(1)
            file.seek(-min(64, path.stat().st_size), os.SEEK_END)
            end = file.read().rstrip()[-1:]
    except FileNotFoundError:
        raise ConfigurationError(
            f"{str(folder)!r} has no {_TOKENIZER!r}: write it by `AutoTokenizer.from_pretrained(NAME).save_pretrained"
            "(FOLDER)` of transformers."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read ({error.strerror or error}): correct that.") from error
    if (begin, end) != (b"{", b"}"):
        raise ConfigurationError(f"{str(path)!r} is not a whole JSON file: copy it anew.")


def _max_tokens(folder: Path, config: Mapping[str, Any], wanted: int | None) -> int:
    if wanted is not None and (type(wanted) is not int or wanted < 8):
        raise ConfigurationError(f"MAX_TOKENS is {wanted!r}: use a whole number from 8 on, or leave it out.")
    inner = config.get("text_config")
    positions = _limit(config.get("max_position_embeddings") or config.get("n_positions"))
    if positions is None and isinstance(inner, dict):
        positions = _limit(inner.get("max_position_embeddings"))
    if positions is not None and config.get("model_type") in _OFFSET_POSITIONS:
        positions -= int(_limit(config.get("pad_token_id")) or 1) + 1
    if wanted is not None and positions is not None and wanted > positions:
        raise ConfigurationError(
            f"MAX_TOKENS is {wanted}, and the model in {str(folder)!r} reads {positions}: lower it, or leave it out."
        )
    known = [
        wanted,
        positions,
        _limit(read_json(folder / "sentence_bert_config.json").get("max_seq_length")),
        _limit(read_json(folder / "tokenizer_config.json").get("model_max_length")),
    ]
    limits = [each for each in ([wanted] if wanted is not None else known) if each is not None]
    if not limits:
        raise ConfigurationError(
            f"Nothing in {str(folder)!r} says how many tokens the model reads: set MAX_TOKENS, such as to 512."
        )
    return min(limits)


def _limit(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and 8 <= value < _NO_LIMIT else None


def ports_shown(ports: Sequence[Port]) -> str:
    """Ports for a message: ``'logits' (?, 2)``."""
    shown = []
    for port in ports:
        sizes = "of unknown shape" if port.shape is None else f"({', '.join(str(size or '?') for size in port.shape)})"
        shown.append(f"{port.name!r} {sizes}")
    return ", ".join(shown)
