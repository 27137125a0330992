"""The demo project on a real index: loading, searching, the page and the admin.

Needs ``demo.library`` in INSTALLED_APPS of the test settings.
"""

import json

import pytest
from django.core.management import call_command
from django.urls import reverse

from demo.library.extract import EntryRecord, LibraryRecords, ModuleRecord
from demo.library.loading import load_records
from demo.library.models import Entry, Module
from demo.library.search import anything_indexed, find

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("demo.urls")]

EVIL = "Frobnicate the widget <script>alert(1)</script> & <b>rest</b>."


def records(library: str, *entries: tuple[str, str, str]) -> LibraryRecords:
    modules = sorted({name.partition(".")[0] for name, _, _ in entries})
    return LibraryRecords(
        [ModuleRecord(library, name, f"The module {name}, with ways to frobnicate the widget.") for name in modules],
        [
            EntryRecord(library, name.partition(".")[0], kind, name, "(widget, *, speed=1)", text, 7)
            for name, kind, text in entries
        ],
    )


PYTHON = records(
    "python",
    ("gadgets.frobnicate", "function", EVIL),
    ("gadgets.Widget", "class", "A widget that can be frobnicated."),
    ("zips.read", "function", "Read a compressed archive line by line."),
)
DJANGO = records("django", ("frames.frobnicate", "function", "Frobnicate the widget of a web page."))


@pytest.fixture
def loaded() -> None:
    load_records("python", PYTHON)
    load_records("django", DJANGO)


@pytest.fixture
def indexed(loaded) -> None:
    call_command("pgknowbase_worker", once=True)


def test_loading_twice_writes_nothing_the_second_time(loaded, django_assert_max_num_queries):
    with django_assert_max_num_queries(14):
        report = load_records("python", PYTHON)
    assert (report.written, report.removed, report.total) == (0, 0, 5)


def test_loading_mends_changes_and_removes_what_is_gone(loaded):
    Entry.objects.filter(qualname="zips.read").update(docstring="changed")
    progress: list[int] = []
    report = load_records("python", records("python", *_specs(PYTHON)[1:]), on_progress=progress.append)
    assert (report.written, report.removed) == (1, 1)
    assert sum(progress) == report.total
    assert set(Entry.objects.values_list("qualname", flat=True)) == {
        "frames.frobnicate",
        "gadgets.Widget",
        "zips.read",
    }
    assert Entry.objects.get(qualname="zips.read").docstring == "Read a compressed archive line by line."
    assert set(Module.objects.values_list("name", flat=True)) == {"frames", "gadgets", "zips"}


def _specs(loaded: LibraryRecords) -> list[tuple[str, str, str]]:
    return [(e.qualname, e.kind, e.docstring) for e in loaded.entries]


def test_document_of_an_entry(loaded):
    entry = Entry.get_external_queryset().get(qualname="zips.read")
    assert entry.get_external_title() == "zips.read(widget, *, speed=1)"
    assert entry.get_external_content() == "Read a compressed archive line by line."
    assert entry.get_external_metadata() == {"library": "python", "kind": "function", "module": "zips"}
    assert entry.get_external_tags() == ["python", "function"]


def test_long_signatures_are_cut_at_an_argument():
    entry = Entry(qualname="a.b", signature="(" + ", ".join(f"argument_{i}=None" for i in range(20)) + ")")
    title = entry.get_external_title()
    assert len(title) < 115
    assert title.endswith("=None, ...)")


def test_find_covers_modules_and_entries_best_first(indexed):
    hits = find("frobnicate the widget", limit=10)
    assert hits[0].name in {"frames.frobnicate", "gadgets.frobnicate"}
    assert [h.similarity for h in hits] == sorted((h.similarity for h in hits), reverse=True)
    assert find("The module zips, which holds things.", kind="module", limit=1)[0].name == "zips"
    assert len(find("frobnicate the widget", limit=1)) == 1


def test_page_before_anything_is_asked(client, db):
    response = client.get(reverse("library:search"))
    assert response.status_code == 200
    assert b"autofocus" in response.content
    assert b"read a gzip file line by line" in response.content


def test_page_without_an_index_says_so(client, loaded):
    assert not anything_indexed()
    response = client.get(reverse("library:search"), {"q": "widget"})
    assert response.status_code == 200
    assert b"pgknowbase_worker" in response.content


def test_page_escapes_documentation_and_question(client, indexed):
    response = client.get(reverse("library:search"), {"q": 'frobnicate "><script>alert(2)</script>'})
    assert response.status_code == 200
    page = response.content.decode()
    assert "<script" not in page
    assert "<b>rest" not in page
    assert "<mark>Frobnicate</mark> the widget" in page
    assert "alert(2)" in page


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"library": "python", "kind": "function"}, {"gadgets.frobnicate", "zips.read"}),
        ({"library": "django", "kind": "function"}, {"frames.frobnicate"}),
        ({"library": "python", "kind": "class"}, {"gadgets.Widget"}),
        ({"library": "django", "kind": "module"}, {"frames"}),
        ({"library": "django"}, {"frames", "frames.frobnicate"}),
    ],
)
def test_filters_hold(client, indexed, filters, names):
    response = client.get(reverse("library:search"), {"q": "frobnicate the widget", **filters})
    found = {hit.name for hit, _ in response.context["results"]}
    assert found
    assert found <= names


@pytest.mark.parametrize(
    "query",
    [{"q": ""}, {"q": "x" * 301}, {"q": "a\0b"}, {"q": "a", "kind": "evil"}, {"q": "a", "library": "evil"}],
)
def test_bad_input_is_explained(client, db, query):
    response = client.get(reverse("library:search"), query)
    assert response.status_code == 400
    assert b'role="alert"' in response.content


def test_page_is_read_only(client, db):
    assert client.post(reverse("library:search"), {"q": "a"}).status_code == 405


def test_results_are_limited(client, indexed, monkeypatch):
    monkeypatch.setattr("demo.library.views.MAX_RESULTS", 2)
    response = client.get(reverse("library:search"), {"q": "frobnicate the widget"})
    assert len(response.context["results"]) == 2


def test_a_broken_search_is_a_503_that_tells_no_internals(client, db, monkeypatch):
    from pgknowbase.errors import SearchError

    def broken(*args, **kwargs):
        raise SearchError("secret detail")

    monkeypatch.setattr("demo.library.views.find", broken)
    response = client.get(reverse("library:search"), {"q": "widget"})
    assert response.status_code == 503
    assert b"secret detail" not in response.content
    assert b"not available" in response.content


def test_index_follows_an_update(indexed):
    Entry.objects.filter(qualname="zips.read").update(docstring="Juggle seven oranges on a unicycle.")
    call_command("pgknowbase_worker", once=True)
    assert find("Juggle seven oranges on a unicycle.", kind="function", limit=1)[0].name == "zips.read"


@pytest.mark.parametrize("model", ["module", "entry"])
def test_admin_lists_and_forms_open(admin_client, loaded, model, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        response = admin_client.get(reverse(f"admin:library_{model}_changelist"), {"q": "gadgets"})
    assert response.status_code == 200
    row = {"module": Module, "entry": Entry}[model].objects.first()
    assert admin_client.get(reverse(f"admin:library_{model}_change", args=[row.pk])).status_code == 200


def test_metadata_can_be_stored_as_json(loaded):
    for row in [*Entry.get_external_queryset(), *Module.objects.all()]:
        json.dumps(row.get_external_metadata())
