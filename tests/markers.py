"""Which tests are slow, start processes or need a browser: ``make test-fast`` leaves these out. And which are long:
``make test`` leaves these to ``make test-long``.

A test that uses the fixture ``manage`` or a browser is recognised by that; the others are listed by folder, file or
name.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
BY_FIXTURE = {"manage": "process", "chromium": "browser"}
BY_PLACE = {
    "process": [
        "acceptance/docker",
        "acceptance/packaging",
        "acceptance/test_readme.py",
        "integration/api/test_typescript.py::test_client",
        "integration/embedded",
        "integration/mcp",
        "integration/openai/test_javascript.py",
        "integration/ui/test_front_ends.py::test_clients",
        "integration/migrations",
        "integration/operations/doctor/test_server.py",
        "integration/worker/test_processes.py",
        "integration/worker/test_survival.py",
        "reliability/test_crash.py",
        "reliability/test_testing_kit.py",
        "integration/adoption/test_from_zero.py",
        "unit/embeddings/test_commands.py",
        "unit/test_processes.py",
        "unit/test_project_files.py::test_file_obeys_its_schema",
        "unit/test_release.py",
        "unit/test_skips.py",
    ],
    "browser": ["acceptance/browser", "acceptance/demo/test_chat_page.py"],
    "slow": [
        "acceptance",
        "integration/agents/test_load.py",
        "integration/api/test_matrix.py",
        "integration/api/test_schemathesis.py",
        "integration/chat/test_without_agents.py",
        "integration/operations/recall",
        "integration/openai/test_roles.py",
        "integration/plans",
        "integration/search/test_full_k.py",
        "integration/search/test_metadata.py::test_anything_else_is_refused_or_searched",
        "integration/search/test_options.py::test_anything_gives_rows_or_a_clear_error",
        "integration/search/test_sql_functions.py",
        "integration/spaces/test_no_downtime.py",
        "reliability",
        "unit/embeddings/test_local.py",
        "unit/embeddings/test_static.py::test_same_vectors_as_wordllama",
    ],
    "long": [
        "acceptance/browser/test_admin.py::test_every_list_and_form",
        "acceptance/test_benchmarks.py::test_quick_run",
        "acceptance/test_benchmarks.py::test_searches_are_measured",
        "integration/api/test_schemathesis.py",
        "integration/keywords/test_makers.py::test_dump_of_postgres_16",
        "integration/migrations/test_changes.py",
        "integration/operations/recall/test_recall.py::test_command_measures",
        "integration/operations/recall/test_recall.py::test_recall_is_what",
        "integration/plans",
        "integration/relay/test_limits.py::test_check_and_repair_and_sync_go_in_portions",
        "integration/search/test_full_k.py::test_full_k_at_any_selectivity",
        "integration/search/test_typos.py::test_any_text_can_be_corrected",
        "integration/spaces/test_copies.py::test_form_letters",
        "integration/spaces/test_no_downtime.py::test_whole_procedure",
        "reliability/test_crash.py",
        "reliability/test_oracle.py",
        "unit/embeddings/test_e5.py::test_vectors_are_those_of_the_weights",
    ],
}


def is_in(node, place):
    """Whether a test lies in ``place``: a folder, a file, or a file and how the names of its tests begin."""
    return node.startswith(place if "::" in place else f"{place}::" if place.endswith(".py") else f"{place}/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Before pytest deselects by ``-m``."""
    for item in items:
        if TESTS not in item.path.parents:
            continue
        node = f"{item.path.relative_to(TESTS).as_posix()}::{item.name}"
        marks = {mark for fixture, mark in BY_FIXTURE.items() if fixture in getattr(item, "fixturenames", ())}
        marks |= {mark for mark, places in BY_PLACE.items() if any(is_in(node, place) for place in places)}
        for mark in sorted(marks):
            item.add_marker(mark)
