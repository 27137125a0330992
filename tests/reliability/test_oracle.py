"""Whatever is written, by whomever, the drained index is what the oracle makes of the committed rows."""

import random
import signal
import sys
import threading
import time
import traceback

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connections

from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.sources.registry import is_source
from pgknowbase.testing import assert_in_sync, make_due
from pgknowbase.testing import drain as work
from tests.reliability.oracle import difference
from tests.reliability.runs import COUNT, SEED, TELL, Run
from tests.reliability.writes import OPERATIONS

pytestmark = pytest.mark.django_db(transaction=True)
SOURCES = [model for model in apps.get_app_config("press").get_models() if is_source(model)]
SHOWN = 12
EVERY = 40


def settled():
    """Everything worked off, with what is left as lines."""
    make_due()
    work()
    left = difference()
    if not left:
        assert_in_sync(*SOURCES)
        assert not OutboxEvent.objects.exists()
        assert not ExternalData.objects.exclude(status="completed").exists()
    return left


def play(name, steps, check_every=None):
    """The run, the number of steps it took, and what differed at the end or at the first check that failed."""
    run = Run(name)
    for number in range(steps):
        run.step(number)
        if check_every and (number + 1) % check_every == 0 and (left := settled()):
            return run, number + 1, left
        if check_every and run.count >= COUNT:
            break
    return run, number + 1, settled()


def explain(name, steps, run, left):
    """The first step after which the index differs, found by draining after each, or else the last steps."""
    call_command("flush", interactive=False, verbosity=0)
    again, taken, found = play(name, steps, check_every=1)
    if found:
        return [TELL, f"step {taken - 1} is the first to leave a difference:", *again.log[-3:], *found[:SHOWN]]
    lines = [TELL, f"differs after {steps} steps, but not if drained after each; the last ones:"]
    return [*lines, *run.log[-EVERY:], *left[:SHOWN]]


def test_any_writes(capsys):
    run, steps, left = play("alone", COUNT, check_every=EVERY)
    if left:
        pytest.fail("\n".join(explain("alone", steps, run, left)))
    assert run.count >= COUNT, TELL
    assert {function.__name__ for function, _ in OPERATIONS} <= set(run.counts) or COUNT < 1000, TELL
    assert run.counts["refused"] < run.count / 5, TELL
    with capsys.disabled():
        sys.stdout.write(f"\n{run.count} operations in {steps} steps; {TELL}\n")


def test_any_writes_by_several_while_workers_die(manage, capsys):
    runs = [Run(f"writer{number}") for number in range(3)]
    faults = []

    def write(run):
        try:
            number = 0
            while run.count < COUNT / len(runs):
                run.step(number)
                number += 1
        except Exception:  # noqa: BLE001 - shown by the test
            faults.append(traceback.format_exc())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=[run]) for run in runs]
    for thread in threads:
        thread.start()
    killed = kill_workers(manage, random.Random(f"{SEED} kills"), threads)
    for thread in threads:
        thread.join()
    assert not faults, "\n".join([TELL, *faults])
    left = settled()
    log = [line for run in runs for line in run.log[-SHOWN:]]
    assert not left, "\n".join([TELL, *left[:SHOWN], "the last steps:", *log])
    count = sum(run.count for run in runs)
    assert count >= COUNT
    assert killed > 1
    with capsys.disabled():
        sys.stdout.write(f"\n{count} operations by {len(runs)} writers, {killed} workers killed; {TELL}\n")


def kill_workers(manage, draw, threads):
    """Two workers at a time, each killed and replaced until the writers have ended."""
    workers = [manage("pgknowbase_worker", "--batch-size", 20) for _ in range(2)]
    killed = 0
    while any(thread.is_alive() for thread in threads) or killed < 2:
        time.sleep(draw.uniform(1.5, 4))
        place = draw.randrange(len(workers))
        assert workers[place].poll() is None, workers[place].communicate()
        workers[place].send_signal(signal.SIGKILL)
        workers[place].wait()
        killed += 1
        workers[place] = manage("pgknowbase_worker", "--batch-size", draw.choice([1, 7, 20]))
    for worker in workers:
        worker.kill()
        worker.wait()
    return killed
