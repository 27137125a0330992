"""Small models of fixed weights in the folders that exports come in, written with the package ``onnx``."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ("pump", "runs", "dry", "river", "flows", "north", "query", "passage", ":", "the")
VOCABULARY = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS))}
WIDTH = 8


def table(width: int = WIDTH) -> np.ndarray:
    """The vectors of the words (words, width)."""
    return np.random.default_rng(7).normal(size=(len(VOCABULARY), width)).astype(np.float32)


def tokenizer(*, pairs: bool = False) -> Tokenizer:
    """Of whole words, with the marks of BERT. ``pairs``: also for two texts together."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1" if pairs else "$A $B",
        special_tokens=[("[CLS]", VOCABULARY["[CLS]"]), ("[SEP]", VOCABULARY["[SEP]"])],
    )
    return made


def save_graph(
    path: Path,
    nodes: Sequence[Any],
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    outputs: dict[str, Sequence[Any]],
    weights: dict[str, np.ndarray],
    kind: int = TensorProto.INT64,
    external: str | None = None,
) -> None:
    """Write a graph whose inputs are (texts, tokens). ``external``: the file for its weights."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, kind, ["texts", "tokens"]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    if external is None:
        onnx.save(model, path)
    else:
        onnx.save(model, path, save_as_external_data=True, location=external, size_threshold=0)


def embedding_folder(
    folder: Path,
    *,
    file: str = "model.onnx",
    output: str = "last_hidden_state",
    pooling: str | None = "pooling_mode_mean_tokens",
    prompts: dict[str, str] | None = None,
    width: int = WIDTH,
    **graph: Any,
) -> Path:
    """A model whose tokens have the vectors of ``table``, wherever they stand."""
    save_graph(
        folder / file,
        [helper.make_node("Gather", ["table", "input_ids"], [output])],
        outputs={output: ["texts", "tokens", width]},
        weights={"table": table(width)},
        **graph,
    )
    tokenizer().save(str(folder / "tokenizer.json"))
    write(folder / "config.json", {"hidden_size": width, "max_position_embeddings": 16})
    write(folder / "modules.json", [_module("0", "Transformer", ""), _module("1", "Pooling", "1_Pooling")])
    if pooling is not None:
        write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, pooling: True})
    if prompts is not None:
        write(folder / "config_sentence_transformers.json", {"prompts": prompts})
    return folder


def write(path: Path, value: Any) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _module(name: str, kind: str, path: str) -> dict[str, str]:
    return {"idx": name, "name": name, "path": path, "type": f"sentence_transformers.models.{kind}"}


def expected(text: str, pool: Callable[[np.ndarray], np.ndarray], *, width: int = WIDTH) -> np.ndarray:
    """The vector of a text by ``pool`` of those of its tokens, of length 1."""
    pooled = pool(table(width)[tokenizer().encode(text).ids])
    return pooled / np.linalg.norm(pooled)


def cross_encoder_folder(folder: Path, *, output: str = "logits", labels: int = 1, **graph: Any) -> Path:
    """A cross-encoder that counts how many words of the text the query has, less half of one."""
    known = np.eye(len(VOCABULARY), dtype=np.float32)
    known[: VOCABULARY[WORDS[0]]] = 0  # marks and unknown words are none
    nodes = [
        helper.make_node("Gather", ["known", "input_ids"], ["words"]),
        helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["types", "last"], ["of_text"]),
        helper.make_node("Sub", ["one", "of_text"], ["of_query"]),
        helper.make_node("Mul", ["words", "of_text"], ["text_words"]),
        helper.make_node("Mul", ["words", "of_query"], ["query_words"]),
        helper.make_node("ReduceSum", ["text_words", "axis"], ["text"], keepdims=0),
        helper.make_node("ReduceMax", ["query_words", "axis"], ["query"], keepdims=0),
        helper.make_node("Mul", ["text", "query"], ["shared"]),
        helper.make_node("ReduceSum", ["shared", "axis"], ["count"], keepdims=1),
        helper.make_node("Sub", ["count", "half"], ["logit"]),
        helper.make_node("Mul", ["logit", "weights"], [output]),
    ]
    save_graph(
        folder / "model.onnx",
        nodes,
        inputs=("input_ids", "attention_mask", "token_type_ids"),
        outputs={output: ["texts", labels]},
        weights={
            "known": known,
            "one": np.array(1, np.float32),
            "half": np.array(0.5, np.float32),
            "axis": np.array([1], np.int64),
            "last": np.array([-1], np.int64),
            # Of two numbers, the first is against and the second for what answers.
            "weights": np.array([[1]] if labels == 1 else [np.linspace(-0.5, 0.5, labels)], np.float32),
        },
        **graph,
    )
    tokenizer(pairs=True).save(str(folder / "tokenizer.json"))
    write(folder / "config.json", {"max_position_embeddings": 16})
    return folder
