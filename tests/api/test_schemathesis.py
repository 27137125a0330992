"""Generated requests against a live server: no 500, and each answer is as the OpenAPI document says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.api.conftest import token_of
from tests.fakes import hashed
from tests.search.conftest import provider  # noqa: F401

EXAMPLES = 15
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.mark.django_db(transaction=True)
def test_no_request_breaks_it(library, provider, users, live_server):  # noqa: F811
    provider.vector = hashed
    secret = token_of(users["root"])
    schema = schemathesis.openapi.from_url(f"{live_server.url}/api/openapi.json")
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        seen.add(operation.definition.raw["operationId"])

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def run(case):
            case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=CHECKS)

        run()
    chat = {"chatSessions", "startChat", "chatSession", "deleteChat", "chatMessages", "askChat", "streamChat"}
    assert seen - chat - {"chatCitation"} == {
        *("searchByUrl", "search", "similar", "document", "sync", "syncBatch", "status"),
    }
    assert seen >= chat | {"chatCitation"}
