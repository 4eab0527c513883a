"""A stand-in for the service, behind the middleware of Serve's proxy on a real HTTP server."""

from collections.abc import Iterator

import pytest

from drdd.serving.http import make_api
from tests.serving.fakes import LIMITS, FakeService, proxied


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def url(service: FakeService) -> Iterator[str]:
    with proxied(make_api(service, LIMITS, {})) as address:
        yield address
