"""Fixtures of the contract tests: one live server for all of them, two tenants, tokens."""

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.live import Deployment, Tenant


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment that is served: a real process on SQLite, which runs no jobs."""
    deployment = Deployment(tmp_path_factory.mktemp("deployment"))
    with deployment.server:
        yield deployment


@pytest.fixture(scope="session")
def clinic(deployment: Deployment) -> Tenant:
    return deployment.tenant("Clinic")


@pytest.fixture(scope="session")
def other_clinic(deployment: Deployment) -> Tenant:
    return deployment.tenant("Other clinic")


@pytest.fixture
def client(deployment: Deployment, clinic: Tenant) -> Iterator[httpx.Client]:
    """A client of a user of the clinic."""
    with deployment.client(deployment.token(clinic)) as client:
        yield client


@pytest.fixture
def stranger(deployment: Deployment, other_clinic: Tenant) -> Iterator[httpx.Client]:
    """A client of the same e-mail and EHR id at another tenant."""
    with deployment.client(deployment.token(other_clinic)) as client:
        yield client
