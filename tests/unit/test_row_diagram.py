"""The picture in docs/architecture.md is drawn from the code."""

from docs import row_diagram


def test_the_picture_is_that_of_the_code():
    assert row_diagram.draw() == row_diagram.PICTURE.read_text(), "run 'make docs'"


def test_each_step_hands_something_to_a_later_one():
    *before, search = row_diagram.steps()
    for number, step in enumerate(before):
        later = frozenset().union(*(other.reads for other in [*before[number + 1 :], search]))
        assert step.writes & later, step.name
    assert not search.writes


def test_each_step_has_modules():
    assert [step.name for step in row_diagram.steps() if not step.modules] == []
