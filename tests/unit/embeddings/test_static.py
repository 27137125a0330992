import importlib.util
import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tokenizers import Tokenizer

from pgknowbase.embeddings import StaticEmbedder, weights
from pgknowbase.embeddings import static as module
from pgknowbase.errors import ConfigurationError, MissingExtraError, PermanentEmbeddingError

TEXTS = [
    "A cat sleeps on the sofa.",
    "POSTGRES Triggers write to an Outbox",
    "two  spaces, three   spaces",
    " at both ends ",
    "line\nbreak\tand tab",
    "</s> special <unk> tokens",
    "already \u2581marked",
    "Grüße aus Köln, İstanbul",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "你好 世界",
    "\u200b",
    "a" * 3000,
]


@pytest.mark.parametrize("dimensions", [256, 128, 64])
def test_same_vectors_as_wordllama(dimensions):
    ours = StaticEmbedder(model=f"wordllama-{dimensions}", dimensions=dimensions).embed_documents(TEXTS)
    lowered = [text.lower() for text in TEXTS]
    np.testing.assert_allclose(ours.vectors, _wordllama_formula(lowered, dimensions), atol=1e-6)
    if (api := _wordllama_api(dimensions)) is not None:
        np.testing.assert_allclose(ours.vectors, api.embed(lowered, norm=True), atol=1e-6)
    assert ours.tokens == [len(ids) for ids in map(_plain_ids, TEXTS)]


def _wordllama_formula(texts, dimensions):
    """``WordLlamaInference.embed``: padded, masked, averaged, normalised."""
    tokenizer = Tokenizer.from_file(str(module._source() / module._TOKENIZER))
    tokenizer.enable_padding()
    table = module.read_safetensors(module._source() / module._WEIGHTS)["embedding.weight"][:, :dimensions]
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    mask = np.array([encoding.attention_mask for encoding in encodings], np.float32)
    vectors = table[np.array([encoding.ids for encoding in encodings])] * mask[..., None]
    mean = vectors.sum(1) / mask.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def _wordllama_api(dimensions):
    """The package itself, where its own requirements are installed (CI installs it without them)."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    try:
        from wordllama import WordLlama
    except ImportError:
        return None
    finally:
        root.handlers[:], root.level = before  # importing it calls logging.basicConfig
    return WordLlama.load(trunc_dim=dimensions, cache_dir=module._source(), disable_download=True)


def _plain_ids(text):
    encode = StaticEmbedder().load().tokenizer._tokenizer.encode
    return encode(text.lower(), add_special_tokens=False).ids


def test_remembered_words_change_no_token(monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED_WORDS", 3)
    tokenizer = StaticEmbedder().load().tokenizer
    random = np.random.default_rng(0)
    words = ["a", "b", "cat", "dog", "Köln", "你好", "\n", "x\ny", "", "\u2581", "</s>", "w" * 40]
    texts = [" ".join(random.choice(words, 12)) for _ in range(300)]
    for text in texts:
        assert tokenizer.ids([text, "a cat"]) == [
            tokenizer._encode([text])[0],
            tokenizer._encode(["a cat"])[0],
        ]
    for n in range(50):
        tokenizer.ids([f"word{n}"])
    assert len(tokenizer._recent) + len(tokenizer._older) < 12


def test_wordllama_is_never_imported(static):
    before = set(sys.modules)
    StaticEmbedder().embed_query("x")
    assert not [name for name in set(sys.modules) - before if name.startswith("wordllama")]


def test_case_does_not_matter(static):
    assert static.embed_query("TRIGGERS IN POSTGRES") == static.embed_query("triggers in postgres")


def test_meaning(static):
    texts = ["The cat sleeps on the sofa", "Interest rates and inflation rose", "A goal in the last minute"]
    documents = np.array(static.embed_documents(texts).vectors)
    queries = np.array([static.embed_query(q) for q in ("a sleeping kitten", "economy and banks", "football match")])
    assert (documents @ queries.T).argmax(0).tolist() == [0, 1, 2]


def test_order_and_length(static):
    embeddings = static.embed_documents(TEXTS)
    np.testing.assert_allclose(embeddings.vectors, [static.embed_query(text) for text in TEXTS], atol=1e-6)
    assert np.linalg.norm(embeddings.vectors, axis=1) == pytest.approx(1, abs=1e-6)
    assert static.embed_documents([]).vectors == []


def test_threads(static):
    expected = [static.embed_query(text) for text in TEXTS]
    embedder = StaticEmbedder()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(embedder.embed_query, TEXTS)) == expected


@pytest.mark.parametrize("text", ["", " \n ", "\ud800"])
def test_text_without_content_is_refused(static, text):
    with pytest.raises(PermanentEmbeddingError, match="Text 1"):
        static.embed_documents(["good", text])


def test_zero_vector_is_refused():
    embedder = StaticEmbedder()
    embedder.load().table[:] = 0
    with pytest.raises(PermanentEmbeddingError, match=r"'wordllama-256'.*text 0"):
        embedder.embed_query("known words")


def test_missing_weights_or_packages(monkeypatch):
    find_spec = importlib.util.find_spec
    for name in ("wordllama", "tokenizers", "numpy"):
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda n, *rest, gone=name: None if n == gone else find_spec(n, *rest),
        )
        with pytest.raises(MissingExtraError, match=r"django-pgknowbase\[static\].*`pip install --no-deps wordllama`"):
            StaticEmbedder()


def test_other_weights_are_refused(monkeypatch):
    monkeypatch.setitem(module._SHA256, module._WEIGHTS, "0" * 64)
    with pytest.raises(MissingExtraError, match="sha256"):
        StaticEmbedder().load()


@pytest.mark.parametrize("options", [{"model": "wordllama-512"}, {"model": "wordllama-64"}, {"dimensions": 128}])
def test_wrong_options(options):
    with pytest.raises(ConfigurationError):
        StaticEmbedder(**options)


def test_a_newline_at_the_end_of_json_is_no_other_file(tmp_path):
    """wordllama 0.2.2.post0, the one for ARM, has none."""
    path = tmp_path / "tokenizers" / "l2_supercat_tokenizer_config.json"
    path.parent.mkdir()
    content = (weights.package_directory("wordllama") / module._TOKENIZER).read_bytes()
    for changed in (content.rstrip(b"\n"), content.rstrip(b"\n") + b"\n"):
        path.write_bytes(changed)
        weights.verify(path, module._SHA256[module._TOKENIZER], install="install it")
    path.write_bytes(content + b" ")
    with pytest.raises(MissingExtraError, match="sha256"):
        weights.verify(path, module._SHA256[module._TOKENIZER], install="install it")
