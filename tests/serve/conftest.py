from collections.abc import Iterator

import pytest
from served import Bank, Server, bank


@pytest.fixture(scope="module")
def shared_bank() -> Iterator[Bank]:
    with bank() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_bank: Bank) -> Iterator[Server]:
    """One for all tests of a module whose runs have ids of their own."""
    with Server(tmp_path_factory.mktemp("served"), shared_bank) as found:
        yield found


@pytest.fixture
def own_bank() -> Iterator[Bank]:
    with bank() as found:
        yield found
