import json
import shutil

import numpy as np
import pytest
from django.test import override_settings
from onnx import TensorProto, helper

from pgknowbase.checks import check_settings
from pgknowbase.embeddings import LocalEmbedder
from pgknowbase.errors import ConfigurationError, EmbeddingSetupError, UnknownTextError
from tests.models import WIDTH, embedding_folder, expected, save_graph, table, tokenizer, write

TEXTS = ["the pump runs dry", "river", "the river flows north the river flows north"]


def embedder(folder, **options):
    return LocalEmbedder(**{"model": "small", "dimensions": WIDTH, "threads": 1, "path": folder, **options})


@pytest.mark.parametrize(
    ("mode", "pool"),
    [
        ("pooling_mode_mean_tokens", lambda vectors: vectors.mean(axis=0)),
        ("pooling_mode_cls_token", lambda vectors: vectors[0]),
        ("pooling_mode_lasttoken", lambda vectors: vectors[-1]),
        ("pooling_mode_max_tokens", lambda vectors: vectors.max(axis=0)),
    ],
)
def test_vectors_are_pooled_as_the_folder_says(tmp_path, mode, pool):
    found = embedder(embedding_folder(tmp_path, pooling=mode)).embed_documents(TEXTS)
    np.testing.assert_allclose(found.vectors, [expected(text, pool) for text in TEXTS], atol=1e-6)
    assert found.tokens == [6, 3, 10]


def test_pooling_of_the_options_goes_first(tmp_path):
    folder = embedding_folder(tmp_path)
    vector = embedder(folder, pooling="last").embed_query("river")
    np.testing.assert_allclose(vector, expected("river", lambda vectors: vectors[-1]), atol=1e-6)
    write(folder / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
    vector = embedder(folder).embed_query("river")
    np.testing.assert_allclose(vector, expected("river", lambda vectors: vectors[0]), atol=1e-6)


def test_graph_that_pools_is_taken_at_its_word(tmp_path):
    """As exports of sentence-transformers are: whatever comes after the tokens is in the graph."""
    folder = embedding_folder(tmp_path, pooling=None)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["token_embeddings"]),
        helper.make_node("ReduceMax", ["token_embeddings", "axis"], ["sentence_embedding"], keepdims=0),
    ]
    outputs = {"token_embeddings": ["b", "s", WIDTH], "sentence_embedding": ["b", WIDTH]}
    save_graph(
        folder / "model.onnx", nodes, outputs=outputs, weights={"table": table(), "axis": np.array([1], np.int64)}
    )
    modules = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", [*modules, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])
    vector = embedder(folder).embed_query("the river")
    np.testing.assert_allclose(vector, expected("the river", lambda vectors: vectors.max(axis=0)), atol=1e-6)


def test_prefixes_of_the_folder_and_of_the_options(tmp_path):
    folder = embedding_folder(tmp_path, prompts={"query": "query: ", "document": "passage: "})
    plain = embedder(embedding_folder(tmp_path / "plain"))
    told = embedder(folder)
    assert told.embed_query("river") == plain.embed_query("query: river")
    assert told.embed_documents(["river"]) == plain.embed_documents(["passage: river"])
    assert told.count_tokens(["river"]) == [5]
    none = embedder(folder, query_prefix="", document_prefix="the ")
    assert none.embed_query("river") == plain.embed_query("river")
    assert none.embed_documents(["river"]) == plain.embed_documents(["the river"])
    with pytest.raises(UnknownTextError):
        told.embed_documents(["नमस्ते"])


@pytest.mark.parametrize(
    "file", ["model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx", "model_int8.onnx", "onnx/model_O4.onnx"]
)
def test_files_are_found_where_exports_put_them(tmp_path, file):
    folder = embedding_folder(tmp_path, file=file)
    assert embedder(folder).path == folder / file
    assert len(embedder(folder).embed_query("river")) == WIDTH


def test_one_of_several_files_is_named(tmp_path):
    folder = embedding_folder(tmp_path, file="onnx/model_O3.onnx")
    shutil.copy(folder / "onnx/model_O3.onnx", folder / "onnx/model_O4.onnx")
    with pytest.raises(ConfigurationError, match=r"\['onnx/model_O3.onnx', 'onnx/model_O4.onnx'\]: name one.* FILE"):
        embedder(folder)
    assert embedder(folder, file="onnx/model_O4.onnx").path.name == "model_O4.onnx"
    with pytest.raises(ConfigurationError, match=r"FILE names 'none.onnx'"):
        embedder(folder, file="none.onnx")


def test_vectors_are_cut_where_that_is_asked(tmp_path):
    folder = embedding_folder(tmp_path)
    with pytest.raises(ConfigurationError, match=r"8 dimensions, not 4: .*TRUNCATE to True"):
        embedder(folder, dimensions=4)
    vector = embedder(folder, dimensions=4, truncate=True).embed_query("river")
    whole = np.array(embedder(folder).embed_query("river"))[:4]
    np.testing.assert_allclose(vector, whole / np.linalg.norm(whole), atol=1e-6)
    with pytest.raises(ConfigurationError, match="8 dimensions, not 16: set DIMENSIONS to 8"):
        embedder(folder, dimensions=16, truncate=True)


def test_tokens_beyond_what_the_model_reads_are_left_out(tmp_path):
    folder = embedding_folder(tmp_path)
    assert embedder(folder).max_tokens == 16
    assert embedder(folder).embed_documents(["river " * 40]).tokens == [16]
    assert embedder(folder).count_tokens(["river " * 40]) == [42]
    write(folder / "sentence_bert_config.json", {"max_seq_length": 12})
    write(folder / "tokenizer_config.json", {"model_max_length": 1e30})
    assert embedder(folder).max_tokens == 12
    assert embedder(folder, max_tokens=14).max_tokens == 14
    with pytest.raises(ConfigurationError, match=r"MAX_TOKENS is 17, and the model .* reads 16"):
        embedder(folder, max_tokens=17)
    write(folder / "config.json", {"model_type": "xlm-roberta", "max_position_embeddings": 16, "pad_token_id": 1})
    (folder / "sentence_bert_config.json").unlink()
    assert embedder(folder).max_tokens == 14, "two of its places are before the first token"


def test_padding_and_cutting_of_the_tokenizer_do_not_matter(tmp_path):
    folder, plain = embedding_folder(tmp_path / "a"), embedder(embedding_folder(tmp_path / "b"))
    padding = tokenizer()
    padding.enable_padding(length=12)
    padding.enable_truncation(4)
    padding.save(str(folder / "tokenizer.json"))
    assert embedder(folder).embed_documents(TEXTS) == plain.embed_documents(TEXTS)


def test_all_inputs_that_models_have(tmp_path):
    inputs = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
    folder = embedding_folder(tmp_path / "a", inputs=inputs, kind=TensorProto.INT32)
    plain = embedder(embedding_folder(tmp_path / "b"))
    assert embedder(folder).embed_documents(TEXTS) == plain.embed_documents(TEXTS)


def test_weights_in_a_file_of_their_own(tmp_path):
    folder = embedding_folder(tmp_path / "a", external="model.onnx_data")
    plain = embedder(embedding_folder(tmp_path / "b"))
    assert embedder(folder).embed_documents(TEXTS) == plain.embed_documents(TEXTS)
    (folder / "model.onnx_data").unlink()
    with pytest.raises(ConfigurationError, match=r"weights in 'model.onnx_data', which is not beside it"):
        embedder(folder)


def test_fingerprint_is_of_the_files_and_of_what_makes_documents(tmp_path):
    folder = embedding_folder(tmp_path / "a")
    before = embedder(folder).fingerprint
    assert before == embedder(shutil.copytree(folder, tmp_path / "copy")).fingerprint
    assert before == embedder(folder, query_prefix="query: ").fingerprint, "that of queries makes no stored vector"
    others = [
        embedder(folder, document_prefix="the ").fingerprint,
        embedder(folder, pooling="cls").fingerprint,
        embedder(folder, max_tokens=8).fingerprint,
    ]
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content.replace(table()[5].tobytes(), table()[6].tobytes()))
    others.append(embedder(folder).fingerprint)
    assert len({before, *others}) == 5


def damage(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def shorten(folder):
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-40])


def other_graph(**options):
    return lambda folder: embedding_folder(folder, **options)


FAULTS = {
    "no folder": (shutil.rmtree, "cannot be read .*No such file"),
    "no model": (lambda folder: (folder / "model.onnx").unlink(), "has no 'model.onnx'.*optimum-cli"),
    "an empty model": (damage("model.onnx", b""), "is not a whole ONNX file"),
    "half a model": (shorten, "is not a whole ONNX file"),
    "no ONNX": (damage("model.onnx", b"<html>not found</html>"), "is not a whole ONNX file"),
    "a pointer of Git LFS": (damage("model.onnx", b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "has no 'tokenizer.json'"),
    "half a tokenizer": (damage("tokenizer.json", b'{"version": '), "not a whole JSON file"),
    "half a config": (damage("config.json", b'{"hidden_size": '), "config.json' cannot be read as JSON"),
    "a config of another kind": (damage("config.json", b"[]"), "holds no JSON object"),
    "no limit": (damage("config.json", b"{}"), "set MAX_TOKENS"),
    "no modules": (damage("modules.json", b'["a"]'), "is not a list of modules"),
    "no pooling": (lambda folder: shutil.rmtree(folder / "1_Pooling"), "does not say how .*POOLING"),
    "unknown pooling": (damage("1_Pooling/config.json", b'{"pooling_mode_weightedmean_tokens": true}'), "weightedmean"),
    "two poolings": (damage("1_Pooling/config.json", b'{"pooling_mode": ["cls", "mean"]}'), "asks for the pooling"),
    "prompts that are not pooled": (
        lambda folder: (
            write(folder / "1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False}),
            write(folder / "config_sentence_transformers.json", {"prompts": {"query": "query: "}}),
        ),
        "leaves prefixes out",
    ),
    "prompts of another kind": (damage("config_sentence_transformers.json", b'{"prompts": {"query": 1}}'), "not texts"),
    "a layer that is missing": (
        lambda folder: write(folder / "modules.json", [{"type": "a.Dense", "path": "2_Dense"}]),
        r"pass \['Dense'\] after pooling",
    ),
    "no input of tokens": (other_graph(inputs=("input_ids", "past_key_values")), r"wants \['past_key_values'\]"),
    "inputs of numbers": (other_graph(kind=TensorProto.FLOAT), "'input_ids' .* cannot be given"),
    "a classifier": (other_graph(output="logits"), r"'logits' \(\?, \?, 8\), none of which is a vector"),
    "another width": (other_graph(width=6), "6 dimensions, not 8: set DIMENSIONS to 6"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_checks_name_what_is_wrong_with_a_folder(tmp_path, settings, fault):
    break_, message = FAULTS[fault]
    folder = embedding_folder(tmp_path / "folder")
    entry = {
        "BACKEND": "pgknowbase.embeddings.LocalEmbedder", "MODEL": fault, "DIMENSIONS": WIDTH,
        "OPTIONS": {"PATH": str(folder)},
    }  # fmt: skip
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "EMBEDDINGS": {"default": entry}}):
        assert check_settings() == []
    break_(folder)
    entry["MODEL"] += "!"
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "EMBEDDINGS": {"default": entry}}):
        (found,) = check_settings()
    assert found.id == "pgknowbase.E004"
    with pytest.raises(ConfigurationError, match=message) as caught:
        embedder(folder)
    assert found.msg.endswith(str(caught.value))


def test_no_tokens_wanted(tmp_path):
    folder = embedding_folder(tmp_path)
    node = helper.make_node("Gather", ["table", "pixels"], ["last_hidden_state"])
    outputs = {"last_hidden_state": ["b", "s", WIDTH]}
    save_graph(folder / "model.onnx", [node], inputs=("pixels",), outputs=outputs, weights={"table": table()})
    with pytest.raises(ConfigurationError, match=r"has the inputs \['pixels'\], and not 'input_ids'"):
        embedder(folder)


def test_what_shows_when_the_model_is_loaded(tmp_path):
    """What no look at the files tells: an operator that nobody has, a tokenizer of another kind, another width."""
    folder = embedding_folder(tmp_path)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="not a tokenizer that the package"):
        embedder(folder).embed_query("river")
    embedding_folder(folder)
    node = helper.make_node("Nonsense", ["table", "input_ids"], ["last_hidden_state"])
    outputs = {"last_hidden_state": ["b", "s", WIDTH]}
    save_graph(folder / "model.onnx", [node], outputs=outputs, weights={"table": table()})
    with pytest.raises(ConfigurationError, match=r"onnxruntime does not load .*Nonsense"):
        embedder(folder).embed_query("river")
    node = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    outputs = {"last_hidden_state": ["b", "s", "width"]}
    save_graph(folder / "model.onnx", [node], outputs=outputs, weights={"table": table(6)})
    (folder / "config.json").write_text('{"max_position_embeddings": 16}')
    with pytest.raises(ConfigurationError, match=r"has the shape \(1, 3, 6\) .* 8 dimensions cannot be made"):
        embedder(folder).embed_query("river")


def test_tokenizer_of_another_model(tmp_path):
    folder = embedding_folder(tmp_path)
    other = tokenizer()
    other.add_tokens(["beyond"])
    other.save(str(folder / "tokenizer.json"))
    assert embedder(folder).embed_query("river")
    with pytest.raises(EmbeddingSetupError, match=r"fails for a text of 3 tokens .* its tokenizer is its own"):
        embedder(folder).embed_query("beyond")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": 5}, "PATH is 5"),
        ({"path": None, "pooling": "cls"}, r"\['POOLING'\] go with PATH"),
        ({"precision": "int8"}, r"\['PRECISION'\] say nothing"),
        ({"pooling": "best"}, "POOLING 'best' is unknown"),
        ({"max_tokens": "12"}, "MAX_TOKENS is '12'"),
        ({"query_prefix": 1}, "QUERY_PREFIX is 1"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    folder = embedding_folder(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        embedder(**{"folder": folder, **options} if "path" not in options else {"folder": None, **options})


def test_threads_give_the_same(tmp_path):
    folder = embedding_folder(tmp_path)
    texts = TEXTS * 5
    assert embedder(folder, threads=3).embed_documents(texts) == embedder(folder).embed_documents(texts)


def test_no_width_is_known_before_it_runs(tmp_path):
    folder = embedding_folder(tmp_path)
    node = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    save_graph(
        folder / "model.onnx", [node], outputs={"last_hidden_state": ["b", "s", "w"]}, weights={"table": table()}
    )
    assert len(embedder(folder).embed_query("river")) == WIDTH
