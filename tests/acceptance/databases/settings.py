"""The settings of the tests with what PGKNOWBASE_TEST_SETTINGS, a JSON object, sets anew."""

import json
import os

from tests.settings import *  # noqa: F403

globals().update(json.loads(os.environ["PGKNOWBASE_TEST_SETTINGS"]))
