"""What the markers name is there."""

import pytest

from tests.markers import BY_PLACE, TESTS


@pytest.mark.parametrize("place", sorted({place for places in BY_PLACE.values() for place in places}))
def test_every_listed_place_exists(place):
    path, _, name = place.partition("::")
    assert (TESTS / path).exists()
    assert not name or f"def {name}" in (TESTS / path).read_text()


def test_this_one_is_fast(request):
    assert [mark.name for mark in request.node.iter_markers()] == []
