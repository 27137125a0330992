"""The backoff of an executor, by a clock that the test turns."""

import pytest

from pgknowbase.vectorizer import backoff as module
from pgknowbase.vectorizer.backoff import ProviderBackoff


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def backoff(clock):
    return ProviderBackoff(200, delay=5, max_delay=900)


def test_retry_after_is_kept(backoff, clock):
    assert 20 <= backoff.failed(20.0) <= 22
    clock.now += 19.9
    assert backoff.paused
    clock.now += 2.2
    assert not backoff.paused


def test_a_wish_beyond_reason_is_cut(backoff):
    assert backoff.failed(10**9) <= 990


def test_backoff_doubles_with_jitter_up_to_the_longest(backoff):
    pauses = [backoff.failed(None) for _ in range(40)]
    for number, seconds in enumerate(pauses):
        longest = min(900, 5 * 2**number)
        assert 0.8 * longest <= seconds <= 1.1 * longest
    assert len({seconds / (5 * 2**n) for n, seconds in enumerate(pauses[:6])}) == 6


def test_one_document_after_trouble_then_doubled(backoff):
    backoff.failed(None)
    sizes = [backoff.batch_size]
    while backoff.batch_size < 200:
        backoff.succeeded()
        sizes.append(backoff.batch_size)
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 128, 200]
    assert backoff.failed(None) <= 5.5


def test_a_shorter_pause_never_ends_a_longer_one(backoff, clock):
    backoff.pause(60)
    backoff.pause(1)
    clock.now += 30
    assert backoff.paused
