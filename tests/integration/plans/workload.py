"""What workers, searches, commands and the admin do, on tables of a given size."""

from contextlib import suppress
from io import StringIO

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse

from pgknowbase.models import Document, EmbeddingSpace, ExternalData
from pgknowbase.worker import Worker
from tests.projects.blog.models import Article, Category, Note
from tests.projects.newsroom.models import Story
from tests.projects.shapes.models import Essay, Topic
from tests.vector_index import make_vector_index


def fill(size, start=0):
    """``size`` more articles, half as many notes, a few essays, and stories of which each makes a reaction run."""
    topic, _ = Topic.objects.get_or_create(slug="topic", defaults={"name": "topic"})
    Essay.objects.bulk_create(Essay(title=f"essay {n}", topic=topic) for n in range(size // 10))
    authors = list(User.objects.filter(username__startswith="author"))
    categories = list(Category.objects.all())
    for one in range(len(authors), 5):
        authors.append(User.objects.create_user(f"author{one}"))
        categories.append(Category.objects.create(name=f"category {one}"))
    Article.objects.bulk_create(
        Article(
            title=f"gear {n}",
            body=f"A gear number {n % 97} turns wheel {n % 89} of the machine. " * (1 + n % 3),
            author=authors[n % 5],
            category=categories[n % 5],
            year=1900 + n % 120,
        )
        for n in range(start, start + size)
    )
    Note.notes.bulk_create(Note(text=f"note {n} on belt {n % 31}") for n in range(start, start + size // 2))
    Story.objects.bulk_create(
        Story(title=f"story {n}", status="draft", body="b") for n in range(start, start + size // 20)
    )


def run(command, *arguments):
    with suppress(CommandError, SystemExit):  # some end so to say that they have found something
        call_command(command, *arguments, stdout=StringIO(), stderr=StringIO())


def change(share):
    """Change, delete and add every ``share``-th row, and rename what others show."""
    Article.objects.extra(where=[f"id %% {share} = 0"]).update(title="turned")
    Article.objects.extra(where=[f"id %% {share} = 1"]).update(year=2020)
    Article.objects.extra(where=[f"id %% {share} = 2"]).delete()
    Note.notes.extra(where=[f"abs(hashtext(id::text)) %% {share} = 0"]).update(text="explode")
    Note.notes.extra(where=[f"abs(hashtext(id::text)) %% {share} = 1"]).update(hidden=True)
    Topic.objects.update(name="renamed")


def searches():
    author = User.objects.filter(username="author1").first()
    for options in ({}, {"visible_to": author}, {"metadata": {"year": {"gte": 1990}}}, {"tags": ["category 1"]}):
        for mode in ("semantic", "keyword", "hybrid"):
            for models in (None, [Article]):
                list(ExternalData.objects.search("gear wheel", models=models, mode=mode, limit=20, **options))
        list(Article.hybrid_search("gear turned", include_pending=True, **options))
    list(Article.objects.keyword_search("geer whel", correct_typos=True))
    list(Article.semantic_search("machine", threshold=-1, limit=100))
    list(Article.objects.filter(year__lt=1950).semantic_search("machine"))
    make_vector_index()
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": 1}}):
        list(ExternalData.objects.search("gear wheel", limit=20))  # along the vector index
        list(Article.semantic_search("machine", visible_to=author, limit=20))
    for article in Article.objects.all()[:2]:
        list(article.similar(5))
        _ = article.external_data, article.external_data_status
        article.sync_to_external_data()
        article.regenerate_external_data()
    Article.with_external_data().count()
    Article.without_external_data().count()


def commands():
    tampered = Document.objects.order_by("source", "id")[:20]
    for document in tampered:
        Document.objects.filter(source=document.source, id=document.id).update(content="tampered with")
    run("pgknowbase_status")
    run("pgknowbase_doctor")
    run("sync_external_models", "--check")
    run("sync_external_models", "--repair")
    run("sync_external_models")
    run("sync_external_models", "blog.Note", "--force")
    run("pgknowbase_dead_letters")
    run("pgknowbase_dead_letters", "--retry")
    run("pgknowbase_tune", "recall", "--queries", "2")
    run("pgknowbase_space", "list")
    run("agent_metrics")
    run("orchestrator_status", "--sweep")


def admin_pages():
    client = Client()
    client.force_login(User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("root"))
    for model in admin.site._registry:
        if not model._meta.app_label.startswith("pgknowbase"):
            continue
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for asked in ({}, {"q": "gear"}, {"p": 2}):
            assert client.get(reverse(f"{base}_changelist"), asked, follow=True).status_code == 200
        if (row := model._base_manager.first()) is not None and model is not EmbeddingSpace:
            assert client.get(reverse(f"{base}_change", args=[row.pk])).status_code == 200
    listed = reverse("admin:pgknowbase_externaldata_changelist")
    for asked in ({"status__exact": "failed"}, {"retry": "dead"}):
        assert client.get(listed, asked).status_code == 200
    for name in ("retry", "resync", "embed_anew"):
        first = ExternalData.objects.first()
        client.post(listed, {"action": name, "_selected_action": [first.pk], "select_across": 1, "index": 0})
    notes = ExternalData.objects.filter(source_type="custom").values_list("pk", flat=True)[:50]
    client.post(listed, {"action": "remove", "_selected_action": list(notes), "index": 0, "confirmed": 1})


def upkeep():
    """What happens now and then."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pgknowbase_corpus_fold()")
        cursor.execute("SELECT pgknowbase_word_sample()")
        # As after the activation of a space.
        cursor.execute("SELECT count(*) FROM pgknowbase_space_recount_v1(-1, '', 500)")


def workload():
    change(7)
    searches()
    Worker().run_until_idle()
    upkeep()
    searches()
    commands()
    Worker().run_until_idle()
    admin_pages()
    Worker().run_until_idle()
    fill(50, start=10_000_000)
    Worker().run_until_idle()
