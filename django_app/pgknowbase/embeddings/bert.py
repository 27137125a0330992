"""Writes BERT encoders as ONNX graphs, node by node with the package ``onnx``.

Word, position and type embeddings, post-norm layers with GELU by erf, mean pooling over the tokens, L2 norm.
Texts of a run must have the same number of tokens: there is no mask for padding. Devlin et al. 2019; Reimers
and Gurevych 2019.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    Weights = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of an encoder; ``width`` is also the number of dimensions of its vectors."""

    layers: int
    heads: int
    width: int
    max_tokens: int


class Graph:
    """Collects nodes and constants; ``add`` and ``constant`` return the name of what they added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        from onnx import helper

        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Any, kind: str) -> str:
        """A tensor of the file; ``kind`` is its numpy type."""
        import numpy as np
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=kind), name))
        return name


def encoder(name: str, shape: Shape, weights: "Weights", words: Callable[[Graph], str]) -> "onnx.ModelProto":
    """A model from ``input_ids`` (texts, tokens) to ``vectors`` (texts, width).

    Args:
        name: of the model.
        shape: its sizes.
        weights: by the names of BERT's checkpoints, matrices as (output, input); word embeddings are not read.
        words: adds the lookup of word embeddings, by the graph's input ``input_ids``, and returns its output (texts,
            tokens, width).
    """
    from onnx import TensorProto, checker, helper

    graph = Graph()
    hidden = _Encoder(graph, shape, weights).hidden(words(graph))
    _pool(graph, hidden)
    tokens = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "tokens"])
    output = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", shape.width])
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, [tokens], [output], graph.constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
        producer_name="pgknowbase",
    )
    checker.check_model(model)
    return model


# onnxruntime's operator for a sum and its norm adds up each row number by number, which took a third of the time.
_SLOW = ("SkipLayerNormFusion",)


def save(model: "onnx.ModelProto", target: Path, *, quantize: tuple[str, ...], metadata: Mapping[str, str]) -> None:
    """Write a model to a file, as onnxruntime optimizes it for any CPU: load it with ``open_session``.

    Args:
        model: what to write; it is changed.
        target: the file.
        quantize: the operators whose weights become int8.
        metadata: what the file says beside the graph.
    """
    import onnx

    if quantize:
        _quantize(model, target, quantize)
        model = onnx.load(target)
    model = _optimized(model, target)
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    target.write_bytes(model.SerializeToString(deterministic=True))


def open_session(path: Path) -> Any:
    """The session of a file that ``save`` wrote. It runs on the thread that calls it."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # that is done
    # By its path: of bytes a session would keep a copy.
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _optimized(model: "onnx.ModelProto", target: Path) -> "onnx.ModelProto":
    """What onnxruntime makes of a model, less what depends on the CPU."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW
    )
    return onnx.load(target)


def _quantize(model: "onnx.ModelProto", target: Path, operators: tuple[str, ...]) -> None:
    """Dynamic int8; 7 bits of weights, so that CPUs without VNNI neither saturate nor differ."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")  # else it warns
    # onnxruntime logs to the root logger by functions that configure the user's logging unless it has a
    # handler.
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        quantize_dynamic(
            model,
            target,
            op_types_to_quantize=list(operators),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.getLogger().removeHandler(handler)


class _Encoder:
    """Adds the layers of one encoder to a graph."""

    def __init__(self, graph: Graph, shape: Shape, weights: "Weights") -> None:
        self.graph, self.shape, self.weights = graph, shape, weights
        self.head_width = shape.width // shape.heads
        graph.constant("head_shape", [0, 0, shape.heads, self.head_width], "int64")

    def hidden(self, words: str) -> str:
        """The vectors of the tokens after the last layer, from the embeddings of the words."""
        hidden = self._embeddings(words)
        for layer in range(self.shape.layers):
            hidden = self._layer(f"encoder.layer.{layer}.", hidden)
        return hidden

    def _weight(self, name: str) -> str:
        return self.graph.constant(name, self.weights[name], "float32")

    def _norm(self, prefix: str, value: str) -> str:
        scale, shift = self._weight(f"{prefix}.weight"), self._weight(f"{prefix}.bias")
        return self.graph.add("LayerNormalization", value, scale, shift, axis=-1, epsilon=1e-12)

    def _dense(self, prefix: str, value: str) -> str:
        matrix = self.graph.constant(f"{prefix}.weight", self.weights[f"{prefix}.weight"].T, "float32")
        return self.graph.add("Add", self.graph.add("MatMul", value, matrix), self._weight(f"{prefix}.bias"))

    def _embeddings(self, words: str) -> str:
        graph = self.graph
        # The token type is always 0, so its vector is added to the positions once, here.
        table = self.weights["embeddings.position_embeddings.weight"][: self.shape.max_tokens]
        table = table + self.weights["embeddings.token_type_embeddings.weight"][0]
        positions = graph.constant("positions", table, "float32")
        # Slice, not Gather over a Range: onnxruntime 1.31 rewrites that into a Slice which fails at run time.
        length = graph.add("Shape", "input_ids", start=1, end=2)
        zero, axis = graph.constant("slice_start", [0], "int64"), graph.constant("slice_axis", [0], "int64")
        positions = graph.add("Slice", positions, zero, length, axis)
        return self._norm("embeddings.LayerNorm", graph.add("Add", words, positions))

    def _heads(self, value: str, order: list[int]) -> str:
        return self.graph.add("Transpose", self.graph.add("Reshape", value, "head_shape"), perm=order)

    def _layer(self, prefix: str, hidden: str) -> str:
        graph = self.graph
        query, key, value = (
            self._dense(f"{prefix}attention.self.{part}", hidden) for part in ("query", "key", "value")
        )
        scale = graph.constant(f"{prefix}scale", 1 / math.sqrt(self.head_width), "float32")
        scores = graph.add("MatMul", self._heads(query, [0, 2, 1, 3]), self._heads(key, [0, 2, 3, 1]))
        scores = graph.add("Softmax", graph.add("Mul", scores, scale), axis=-1)
        mixed = graph.add("MatMul", scores, self._heads(value, [0, 2, 1, 3]))
        mixed = graph.add("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = graph.add("Reshape", mixed, graph.constant(f"{prefix}shape", [0, 0, self.shape.width], "int64"))
        mixed = self._dense(f"{prefix}attention.output.dense", mixed)
        hidden = self._norm(f"{prefix}attention.output.LayerNorm", graph.add("Add", mixed, hidden))
        inner = self._gelu(self._dense(f"{prefix}intermediate.dense", hidden), prefix)
        outer = self._dense(f"{prefix}output.dense", inner)
        return self._norm(f"{prefix}output.LayerNorm", graph.add("Add", outer, hidden))

    def _gelu(self, value: str, prefix: str) -> str:
        """x / 2 * (1 + erf(x / sqrt 2))"""
        graph = self.graph
        root = graph.constant(f"{prefix}root", math.sqrt(2), "float32")
        half = graph.constant(f"{prefix}half", 0.5, "float32")
        one = graph.constant(f"{prefix}one", 1.0, "float32")
        curve = graph.add("Add", graph.add("Erf", graph.add("Div", value, root)), one)
        return graph.add("Mul", graph.add("Mul", value, curve), half)


def _pool(graph: Graph, hidden: str) -> None:
    """Mean over the tokens, then L2 norm; the result is named ``vectors``."""
    from onnx import helper

    axis = graph.constant("token_axis", [1], "int64")
    mean = graph.add("ReduceMean", hidden, axis, keepdims=0)
    length = graph.add("ReduceL2", mean, axis, keepdims=1)
    graph.nodes.append(helper.make_node("Div", [mean, length], ["vectors"], name="vectors"))
