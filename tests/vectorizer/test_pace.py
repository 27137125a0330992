"""The pace of an executor, by a clock that the test turns."""

import pytest

from pgknowbase.vectorizer import pace as module
from pgknowbase.vectorizer.pace import Pace


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def pace(clock):
    return Pace(200, delay=5, longest=900)


def test_retry_after_is_kept(pace, clock):
    assert 20 <= pace.bad(20.0) <= 22
    clock.now += 19.9
    assert pace.paused
    clock.now += 2.2
    assert not pace.paused


def test_a_wish_beyond_reason_is_cut(pace):
    assert pace.bad(10**9) <= 990


def test_backoff_doubles_with_jitter_up_to_the_longest(pace):
    pauses = [pace.bad(None) for _ in range(40)]
    for number, seconds in enumerate(pauses):
        longest = min(900, 5 * 2**number)
        assert 0.8 * longest <= seconds <= 1.1 * longest
    assert len({seconds / (5 * 2**n) for n, seconds in enumerate(pauses[:6])}) == 6


def test_one_document_after_trouble_then_doubled(pace):
    pace.bad(None)
    sizes = [pace.size]
    while pace.size < 200:
        pace.good()
        sizes.append(pace.size)
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 128, 200]
    assert pace.bad(None) <= 5.5


def test_a_shorter_pause_never_ends_a_longer_one(pace, clock):
    pace.pause(60)
    pace.pause(1)
    clock.now += 30
    assert pace.paused
