import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import override_settings

from pgknowbase import embeddings
from pgknowbase.embeddings import (
    BatchLimits,
    Embedder,
    Embeddings,
    StaticEmbedder,
    get_embedder,
    split_batches,
)
from pgknowbase.errors import ConfigurationError

HERE = __name__


class Fake(Embedder):
    limits = BatchLimits(2, 10)
    built = 0

    def __init__(self, *, model, dimensions, flavour="plain"):
        type(self).built += 1
        time.sleep(0.01)
        self.model, self.dimensions, self.flavour = model, dimensions, flavour

    def embed_documents(self, texts):
        return Embeddings([[1.0]] * len(texts))

    def embed_query(self, text):
        return [1.0]


class NoEmbedder:
    def __init__(self, **options):
        pass


def settings(**entry):
    entry = {"BACKEND": f"{HERE}.Fake", "MODEL": "fake", "DIMENSIONS": 1, **entry}
    return override_settings(PGKNOWBASE={"EMBEDDINGS": {"default": entry, "other": {**entry, "MODEL": "second"}}})


def test_the_default_is_that_of_the_space():
    embedder = get_embedder()
    assert isinstance(embedder, StaticEmbedder)
    assert get_embedder("default") is embedder
    with override_settings(
        PGKNOWBASE={
            "EMBEDDINGS": {"mine": {"BACKEND": f"{HERE}.Fake", "MODEL": "fake", "DIMENSIONS": 1}},
            "SPACE": {"EMBEDDING": "mine"},
        }
    ):
        assert get_embedder().model == "fake"
    assert get_embedder() is embedder


def test_options_are_keywords_and_values_are_the_key():
    with settings(OPTIONS={"FLAVOUR": "sweet"}):
        sweet = get_embedder()
        assert sweet.flavour == "sweet"
        assert get_embedder() is sweet
        assert get_embedder("other") is not sweet
    with settings():
        assert get_embedder().flavour == "plain"


def test_built_once_by_many_threads():
    Fake.built = 0
    barrier = threading.Barrier(8)

    def get(_):
        barrier.wait()
        return get_embedder()

    with settings(MODEL="threads"), ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(get, range(8)))) == 1
    assert Fake.built == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork to survive")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_builds_its_own():
    with settings(MODEL="fork"):
        parent = get_embedder()
        if not (child := os.fork()):
            os._exit(0 if get_embedder() is not parent else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert get_embedder() is parent


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"BACKEND": "no.such.Backend"}, "'no.such.Backend'.*correct BACKEND"),
        ({"BACKEND": f"{HERE}.Missing"}, "Missing.*correct BACKEND"),
        ({"BACKEND": "nodots"}, "'nodots'"),
        ({"BACKEND": f"{HERE}.NoEmbedder"}, "NoEmbedder' .*derive it"),
        ({"BACKEND": f"{HERE}.HERE"}, "derive it"),
        ({"BACKEND": "pgknowbase.embeddings.base.Embedder"}, "refuses"),
        ({"OPTIONS": {"COLOUR": 1}}, r"'default' refuses its options \['COLOUR'\].*colour.*correct OPTIONS"),
    ],
)
def test_wrong_entries(entry, said):
    with settings(**entry), pytest.raises(ConfigurationError, match=said):
        get_embedder()


def test_unknown_alias():
    with pytest.raises(ConfigurationError, match=r"'nowhere' is unknown.*\['default'\]"):
        get_embedder("nowhere")


def test_lazy_names():
    assert {getattr(embeddings, name).__name__ for name in embeddings._LAZY} == set(embeddings._LAZY)
    with pytest.raises(AttributeError, match="'Nothing'"):
        embeddings.Nothing  # noqa: B018


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([], []),
        ([1, 1, 1], [[1, 1], [1]]),
        ([6, 6, 4], [[6], [6, 4]]),
        ([11, 1, 11], [[11], [1], [11]]),
        ([10, 1], [[10], [1]]),
    ],
)
def test_split_batches(lengths, batches):
    texts = ["x" * length for length in lengths]
    assert [[len(text) for text in batch] for batch in split_batches(texts, BatchLimits(2, 10))] == batches
