from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from idempotency.service import Gates, calling, served, starlette, switch
from idempotency.stores import BACKENDS, Backend, Opened


@pytest.fixture(scope="session", autouse=True)
def server() -> Iterator[None]:
    with served(switch) as url:
        switch.url = url
        yield


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.param
    return found


@pytest.fixture
def opened(backend: Backend, tmp_path: Path) -> Iterator[Opened]:
    with backend.open(tmp_path, 5.0) as found:
        yield found


@pytest.fixture
def gates() -> Iterator[Gates]:
    found = Gates()
    yield found
    found.go.set()


@pytest.fixture
def client(opened: Opened, gates: Gates) -> Iterator[httpx.Client]:
    """To the payment service, over HTTP."""
    with calling(starlette(opened, gates)) as found:
        yield found
