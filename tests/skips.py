"""In continuous integration a skipped test fails, unless its reason is listed here.

A skip is meant for a developer's machine that lacks a program. Where ``CI=true``, every program is installed, so a skip
means that something is no longer tested.
"""

import os

import pytest

# By reason of the skip: why such a test may be left out.
ALLOWED = {
    "needs root": "Hosted runners run as an ordinary user; in a container the same tests run as root.",
    "root may write anywhere": "A container runs as root; on a hosted runner the test runs.",
    "needs root to mount": "Only root may mount the small file system that the test fills.",
    "the server is built without ICU": "The embedded Postgres is; the matrix of servers has one that is not.",
    "needs Debian's Postgres 15": "Not every runner has Debian's packages; the matrix of servers has them.",
    "the server has no locales of its own": "Postgres 15 and 16 know none of the provider builtin.",
    "needs transaction_timeout of Postgres 17": "Older servers have no such limit.",
    "needs WAIT FOR LSN of Postgres 19": "The embedded one is 18; PGKNOWBASE_TEST_PROGRAMS names the programs of 19.",
    "needs the embedded Postgres": "Replicas are copies of it; the run without DATABASE_URL has them.",
    "needs MCP's conformance suite": "It comes from npm and needs Node 22, which not every runner can install.",
    "needs CITUS_URL": "Citus is in no package registry; a run where CITUS_URL names a coordinator has these tests.",
    "may not mount here": "Most containers forbid even root to mount.",
}


def reason_of(report):
    """Why a test or a module was skipped: ``longrepr`` is its file, its line and ``Skipped: reason``."""
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)


def refuse(report):
    """Turn a skip that is not allowed into a failure that says what to do."""
    expected_failure = hasattr(report, "wasxfail")
    if os.environ.get("CI") != "true" or not report.skipped or expected_failure or reason_of(report) in ALLOWED:
        return
    report.outcome = "failed"
    report.longrepr = (
        f"Skipped in CI: {reason_of(report)!r}. Install what the test needs in .ci/install, "
        "or list the reason in tests/skips.py."
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    refuse(report)
    return report
