import pytest

from pgknowbase.relay import hook_costs


@pytest.fixture(autouse=True)
def no_figures_of_other_tests():
    hook_costs.forget()
