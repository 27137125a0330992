# Async tests run on the test's own connection; what others have made is asked for here.
from tests.integration.agents.conftest import pytest_pyfunc_call  # noqa: F401
