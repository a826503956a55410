"""Where a run with faults takes place: an organization, a clinician, folders, and the environment of the processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from osler.access.model import ReleasePolicy
from osler.audit.model import OPERATOR
from osler.bootstrap import initialise, open_core
from osler.config import Settings
from tests.faults.door import CLINICIAN_NOTE, EHR_PATIENT_ID, PATIENT_DETAILS, PATIENT_NAME
from tests.servers.postgresql import PostgresqlServer

VISIT = Path(__file__).parents[2] / "examples" / "sample-visit" / "visit.ogg"
EMAIL = "quillon.harrowgate@example.org"
NAMES = (PATIENT_NAME, PATIENT_DETAILS, EHR_PATIENT_ID, CLINICIAN_NOTE, EMAIL)


@dataclass(frozen=True)
class Setting:
    """What the processes and the client need; ``places`` are all folders and files that Osler may write to."""

    environment: Mapping[str, str]
    organization: str
    user: str
    log: Path
    places: tuple[Path, ...]


async def set_up(database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, policy: ReleasePolicy) -> Setting:
    """Make an organization on an empty core; this process gets the same settings as those that it starts."""
    environment = {
        "OSLER_MODELS": str(Settings().models_path),  # where they are, whatever the data folder
        "OSLER_DATA": str(folder / "osler"),
        "OSLER_DATABASE": database_url,
        "OSLER_SPEECH_MODEL": "tiny.en",
        "TMPDIR": str(folder / "temporary"),
    }
    (folder / "temporary").mkdir()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    await initialise(Settings())
    async with open_core(Settings()) as core:
        organization = await core.access.create_organization(OPERATOR, "A practice")
        await core.access.update_organization(OPERATOR, organization.id, release=policy)
        user = await core.access.create_user(OPERATOR, organization.id, EMAIL, "ehr-7")
    log = folder / "log"
    places = (folder / "osler", folder / "temporary", folder / "database", log)
    return Setting(environment, organization.id, user.id, log, places)


def database_files(request: pytest.FixtureRequest, kind: str) -> list[Path]:
    """Return the folder in which PostgreSQL keeps its tables and its log, if that is the database."""
    if kind != "postgresql":
        return []
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    return [server.data, server.log]
