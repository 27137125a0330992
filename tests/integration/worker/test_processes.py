"""Workers as processes: they follow changes, share the work, end when asked, and may be killed at any time."""

import signal
import time

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from pgknowbase.models import Chunk, Document, ExternalData, OutboxEvent
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db(transaction=True)


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def load(count):
    Note.notes.bulk_create([Note(text=f"note number {n} about subject {n % 17}") for n in range(count)])


def expire_leases():
    """What the end of a lease does."""
    from django.db import connection

    from pgknowbase.spaces.specification import active_space

    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE ai._vectorizer_q_{active_space('default').vectorizer_id} SET loading_retry_after = NULL"
        )


def assert_complete(count):
    assert OutboxEvent.objects.count() == 0
    assert ExternalData.objects.filter(status="completed").count() == count
    assert Document.objects.count() == Chunk.objects.count() == count
    assert len(set(Chunk.objects.values_list("object_key", flat=True))) == count


def test_once_works_everything_off(manage):
    load(700)
    worker = manage("pgknowbase_worker", "--once")
    out, err = worker.communicate(timeout=120)
    assert (worker.returncode, err) == (0, "")
    assert "700 created" in out
    assert "700 documents indexed" in out
    assert_complete(700)


def test_urls_of_the_project_are_not_imported(settings):
    """They bring all views and what these import, which a worker needs for nothing."""
    settings.ROOT_URLCONF = "tests.projects.no_such_urls"
    Article.objects.create(title="Gzip", body="Reading compressed files.")
    call_command("pgknowbase_worker", "--once", "--no-progress", skip_checks=False, verbosity=0)
    assert Document.objects.count() == 1
    with pytest.raises(ModuleNotFoundError, match="no_such_urls"):
        call_command("check")


def test_wrong_settings_stop_it_at_its_start(settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "NO_SUCH_SETTING": 1}
    with pytest.raises(SystemCheckError, match="NO_SUCH_SETTING"):
        call_command("pgknowbase_worker", "--once", skip_checks=False)


def test_running_worker_follows_changes_and_ends_on_sigterm(manage):
    worker = manage("pgknowbase_worker")
    article = Article.objects.create(title="Gzip", body="Reading compressed files.")
    wait_for(lambda: article.external_data_status == "completed")
    Article.objects.update(body="Watering tomato plants.")
    wait_for(lambda: "tomato" in Chunk.objects.get().text)
    article.delete()
    wait_for(lambda: not ExternalData.objects.exists())
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=120)
    assert (worker.returncode, err) == (0, "")
    assert "1 created, 1 updated" in out


def test_several_workers_share_the_work(manage):
    load(1500)
    workers = [manage("pgknowbase_worker", "--once", "--batch-size", 50) for _ in range(3)]
    outs = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], outs
    assert_complete(1500)
    indexed = [int(out.split(" documents indexed")[0].rsplit(" ", 1)[1]) for out, _ in outs]
    assert sum(indexed) == 1500


@pytest.mark.parametrize("moment", ["relay", "embedding"])
def test_killed_worker_loses_and_doubles_nothing(manage, moment):
    load(4000)
    worker = manage("pgknowbase_worker", "--once", "--batch-size", 100)
    if moment == "relay":
        wait_for(lambda: 0 < Document.objects.count() < 4000)
    else:
        wait_for(lambda: 0 < Chunk.objects.count() < 4000)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert ExternalData.objects.filter(status="completed").count() < 4000
    expire_leases()
    again = manage("pgknowbase_worker", "--once")
    again.communicate(timeout=120)
    assert again.returncode == 0
    assert_complete(4000)


def test_connection_that_is_cut_is_made_anew(manage):
    from django.db import connection

    worker = manage("pgknowbase_worker")
    load(1)
    wait_for(lambda: Chunk.objects.count() == 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert cursor.fetchone()[0] >= 1
    load(1)
    wait_for(lambda: Chunk.objects.count() == 2)
    assert worker.poll() is None
