"""Fixtures of the public contract's tests: a deployment of a module with its doors open in this process."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contract.public.lab import Clinic, Lab, opened_lab
from tests.contract.public.live import Live, served


@pytest.fixture(scope="module")
async def lab(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """A deployment on SQLite in which everything is switched on; each test has organizations of its own."""
    async with opened_lab(tmp_path_factory.mktemp("public")) as lab:
        await lab.open_all()
        yield lab


@pytest.fixture
async def clinic(lab: Lab) -> Clinic:
    """An organization of the test's own."""
    return await lab.clinic()


@pytest.fixture
async def key(lab: Lab, clinic: Clinic) -> str:
    """Its key, with every scope."""
    return await lab.key(clinic)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A deployment that a real process serves, without a limit of requests."""
    with served(tmp_path_factory.mktemp("live")) as live:
        yield live
