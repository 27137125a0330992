"""Weights that are fitted: what the command finds, keeps and refuses."""

import json
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import override_settings

from pgknowbase.embeddings.factory import get_embedder
from pgknowbase.models import EmbeddingSpace, ExternalData
from pgknowbase.operations.relevance.weights import CORNERS, WEIGHTS, best_weight, fused, held_out
from pgknowbase.testing import drain
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db(transaction=True)

SUBJECTS = (
    "bread and butter", "a red bicycle", "income tax", "das alte Rathaus", "قواعد اللغة", "城市规划", "हिन्दी कविता",
    "sailing boats", "river fishing", "mountain walks", "night trains", "garden roses", "stone bridges",
    "winter coats", "paper maps", "street music", "open windows", "grey horses", "cold soup", "old clocks", "new shoes",
    "long letters", "small islands", "deep lakes",
)  # fmt: skip


def ranking(text, mode):
    found = ExternalData.objects.search(text, mode=mode, limit=10, threshold=0 if mode == "keyword" else -1)
    return [row.object_key for row in found]


@pytest.fixture
def labelled(tmp_path):
    """Files of queries and judgements, by the mode that is always right."""
    Article.objects.bulk_create(
        [Article(title=f"{one} {n}", body=f"All about {one}. " * n) for n in (1, 2, 3) for one in SUBJECTS]
    )
    drain()
    queries = tmp_path / "queries.txt"
    asked = [f"{one} {SUBJECTS[n - 1]} {n % 3 + 1}" for n, one in enumerate(SUBJECTS)]
    queries.write_text("\n".join(asked), encoding="utf-8")

    def judged(mode):
        lines = [
            f"{number}\t{key}\t{10 - place}"
            for number, text in enumerate(asked, 1)
            for place, key in enumerate(ranking(text, mode))
        ]
        file = tmp_path / f"{mode}.tsv"
        file.write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]), encoding="utf-8")
        return str(queries), str(file)

    yield judged
    EmbeddingSpace.objects.update(dense_weight=None)


def fit(*arguments, **options):
    out = StringIO()
    call_command("pgknowbase_tune", "weight", *arguments, stdout=out, stderr=StringIO(), verbosity=0, **options)
    return out.getvalue()


def test_weight_goes_to_the_leg_that_is_right(labelled):
    words = json.loads(fit(*labelled("keyword"), format="json"))
    assert (words["weight"], words["keyword"]) == (0, 1)
    assert words["fitted"] > words["now"]
    meaning = json.loads(fit(*labelled("semantic"), format="json"))
    assert meaning["weight"] > 0.5
    assert meaning["semantic"] == 1
    assert EmbeddingSpace.objects.get().dense_weight is None


def test_saved_weight_is_what_searches_use(labelled):
    files = labelled("keyword")

    def scores(**options):
        return [row.score for row in ExternalData.objects.search("bread tax", mode="hybrid", threshold=-1, **options)]

    usual = scores()
    models = get_embedder().dense_weight
    assert usual == scores(dense_weight=models) != scores(dense_weight=0.9)
    fit(*files, save=True)
    assert EmbeddingSpace.objects.get().dense_weight == 0
    assert scores() == scores(dense_weight=0) != usual
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "SEARCH": {"DENSE_WEIGHT": models}}):
        assert scores() == usual
        with pytest.raises(CommandError, match="remove it from the settings"):
            fit(*files, save=True)
    with pytest.raises(CommandError, match="nothing was saved"):
        fit(*files, save=True)


def test_scores_are_linear_in_the_weight(labelled):
    labelled("keyword")
    found = {
        weight: {
            row.object_key: row.score
            for row in ExternalData.objects.search(
                "red bread", mode="hybrid", limit=50, threshold=-1, dense_weight=weight
            )
        }
        for weight in (*CORNERS, 0.3, 0.9)
    }
    for weight in (0.3, 0.45, 0.9):
        expected = fused(found, weight)
        assert {key: found[weight][key] for key in expected} == pytest.approx(expected)


def test_held_out_queries_have_no_say_in_their_weight():
    # Each fold has a weight of its own that is right for it, and wrong for all others.
    scores = {weight: [0.0] * 25 for weight in WEIGHTS}
    for place in range(25):
        scores[WEIGHTS[place % 5]][place] = 1.0
    assert held_out(scores, 0.45) == 0
    assert held_out(dict.fromkeys(WEIGHTS, [0.5] * 25), 0.45) == 0.5
    assert best_weight(dict.fromkeys(WEIGHTS, [0.5] * 25), range(25), 0.45) == 0.45


def test_what_cannot_be_used_is_refused(labelled, tmp_path):
    queries, judgements = labelled("keyword")
    few = tmp_path / "few.tsv"
    few.write_text("query-id\tcorpus-id\tscore\n1\t1\t1\n", encoding="utf-8")
    with pytest.raises(CommandError, match="1 of 24 queries have a relevant row: judge at least 20"):
        fit(queries, str(few))
    with pytest.raises(CommandError, match="'missing' cannot be read"):
        fit("missing", judgements)
    with pytest.raises(CommandError, match=r"'no\.such'"):
        fit(queries, judgements, "no.such")
