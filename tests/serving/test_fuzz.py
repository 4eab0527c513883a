"""Requests that the API's own document says are possible, and some that it says are not."""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from drdd.inference.engine import Restorer
from drdd.serving.asked import ApiLimits
from drdd.serving.http import make_api
from tests.inference.test_engine import make_model
from tests.serving.fakes import LIMITS, FakeService

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
RESTORE = "/v1/restore"
JOBS = {"/v1/jobs", "/v1/jobs/{id_}", "/v1/jobs/{id_}/result"}
EVERY = {RESTORE, *JOBS, "/v1/models", "/v1/health", "/v1/ready", "/metrics"}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("keys", [(), ("a key",)], ids=["open", "keys"])
def test_every_answer_is_one_that_the_document_names(
    tmp_path: Path, keys: tuple[str, ...], mode: GenerationMode
) -> None:
    service = FakeService(Restorer.from_folder(make_model(tmp_path)))
    limits = ApiLimits(LIMITS.max_megabytes, LIMITS.max_pixels, LIMITS.timeout_s, keys)
    headers = {"X-API-Key": "".join(keys)}  # for the document alone
    document = schemathesis.openapi.from_asgi(
        "/openapi.json", make_api(service, limits, {}), headers=headers
    )
    asked: set[str] = set()
    answered: set[int] = set()

    for found in document.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and operation.path != RESTORE:
            continue  # nothing is asked with these, so nothing can be wrong
        asked.add(operation.path)

        @settings(
            max_examples=50 if operation.path == RESTORE else 5,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode))
        def agree(case: schemathesis.Case) -> None:
            answer = case.call_and_validate(checks=CHECKS)
            answered.add(answer.status_code)

        agree()
    assert asked == (EVERY if mode is GenerationMode.POSITIVE else {RESTORE})
    assert answered & {401, 413, 415, 422}
    assert not [status for status in answered if status >= 500]
