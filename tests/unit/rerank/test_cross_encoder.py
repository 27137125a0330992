import math
import time

import pytest
from django.test import override_settings

from pgknowbase.checks import check_settings
from pgknowbase.errors import ConfigurationError, LateRerankError, RerankError
from pgknowbase.rerank import CrossEncoderReranker
from pgknowbase.rerank.base import Deadline
from tests.models import cross_encoder_folder, embedding_folder, tokenizer, write

QUERY = "the pump"
TEXTS = ["river flows", "the pump runs dry", "pump", "pump pump pump"]


def score(folder, texts=TEXTS, query=QUERY, **options):
    reranker = CrossEncoderReranker(model="small", path=folder, **{"threads": 1, **options})
    return reranker.score(query, texts, Deadline.after(60)).scores


def sigmoid(number):
    return 1 / (1 + math.exp(-number))


@pytest.mark.parametrize("labels", [1, 2])
def test_scores_are_those_of_the_model(tmp_path, labels):
    found = score(cross_encoder_folder(tmp_path, labels=labels))
    assert found == pytest.approx([sigmoid(count - 0.5) for count in (0, 2, 1, 3)], abs=1e-6)
    assert score(tmp_path, threads=3) == found


def test_long_texts_and_queries_leave_each_other_room(tmp_path):
    folder = cross_encoder_folder(tmp_path)
    # Of 16 tokens 8 are the query's at most, and three are marks.
    assert score(folder, ["river " * 5 + "pump"], "pump " * 40) == pytest.approx([sigmoid(-0.5)])
    assert score(folder, ["river " * 4 + "pump"], "pump " * 40) == pytest.approx([sigmoid(0.5)])
    assert score(folder, ["river " * 40], "dry") == pytest.approx([sigmoid(-0.5)])


def test_it_stops_when_nobody_waits(tmp_path):
    reranker = CrossEncoderReranker(model="small", path=cross_encoder_folder(tmp_path), threads=1)
    with pytest.raises(LateRerankError, match="CANDIDATES"):
        reranker.score(QUERY, TEXTS, Deadline(time.monotonic() - 1))
    given_up = Deadline.after(60)
    given_up.given_up.set()
    with pytest.raises(LateRerankError):
        reranker.score(QUERY, TEXTS, given_up)


def test_fingerprint_is_of_the_files(tmp_path):
    def fingerprint(folder, **options):
        return CrossEncoderReranker(model="small", path=folder, **options).fingerprint

    one, same = cross_encoder_folder(tmp_path / "a"), cross_encoder_folder(tmp_path / "b")
    other = cross_encoder_folder(tmp_path / "c", output="scores")
    assert fingerprint(one) == fingerprint(same)
    assert len({fingerprint(one), fingerprint(other), fingerprint(one, max_tokens=12)}) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (embedding_folder, r"'last_hidden_state' \(\?, \?, 8\), none of which is a score"),
        (lambda folder: cross_encoder_folder(folder, labels=3), "none of which is a score"),
        (lambda folder: folder.mkdir(), "has no 'model.onnx'"),
        (lambda folder: write(cross_encoder_folder(folder) / "config.json", {}), "set MAX_TOKENS"),
    ],
)
def test_checks_name_what_is_wrong_with_a_folder(tmp_path, settings, make, message):
    make(tmp_path / "folder")
    entry = {"BACKEND": "pgknowbase.rerank.CrossEncoderReranker", "MODEL": message}
    entry["OPTIONS"] = {"PATH": str(tmp_path / "folder")}
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "RERANKERS": {"default": entry}}):
        (found,) = check_settings()
    assert found.id == "pgknowbase.E060"
    with pytest.raises(ConfigurationError, match=message):
        CrossEncoderReranker(model="small", path=tmp_path / "folder")


def test_tokenizer_of_another_model(tmp_path):
    folder = cross_encoder_folder(tmp_path)
    other = tokenizer(pairs=True)
    other.add_tokens(["beyond"])
    other.save(str(folder / "tokenizer.json"))
    with pytest.raises(RerankError, match="its tokenizer is its own"):
        score(folder, ["beyond"])


@pytest.mark.parametrize("options", [{"path": None}, {"threads": 0}, {"max_tokens": 2}])
def test_wrong_options(tmp_path, options):
    with pytest.raises(ConfigurationError, match=next(iter(options)).upper()):
        score(**{"folder": cross_encoder_folder(tmp_path), **options} if "path" not in options else {"folder": None})
