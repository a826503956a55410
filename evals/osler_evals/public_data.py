"""Many finished encounters in a database, quickly: what the public API's lists are measured on.

``filled(settings, of_organization=20_000, in_all=1_000_000)`` makes an organization with real encounters and, in other
organizations, copies of them. Of the measured organization every row is as the repositories write it, under keys of its
own: encounters and patient profiles (one for four encounters; every fifth encounter has none, only what the session
itself was told), a finished recording, and four released documents: transcript, note (with the title of its template,
sealed), billing, checklist.

The copies have ids of their own, but the bytes of the originals where something is sealed or wrapped, so they could not
be opened. Nobody opens them: they are there so that tables and indexes are as large, and the rows of one organization
as scattered, as in a database that many practices write to. There are no texts below the documents: lists read none.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Column, MetaData, Table, Text, func, insert, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from osler.access.model import KeyKind, Scope
from osler.audio.model import RecordingKind, RecordingState
from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings
from osler.encounters.model import Consent, Encounter, EncounterPatient, EncounterState, PatientProfile
from osler.kernel.ids import derived_id, new_encounter_id, new_id
from osler.kernel.transactions import Transaction
from osler.release.model import BILLING, CHECKLIST, NOTE, TRANSCRIPT, ReleasedKind
from osler.storage.database import connection_of
from osler.storage.repositories.encounters import SqlEncounterRepository
from osler.storage.repositories.profiles import SqlPatientProfileRepository
from osler.storage.repositories.sealed import SealedRows
from osler.storage.tables import metadata
from osler.storage.tables.access import organizations, users
from osler.storage.tables.audio import recordings
from osler.storage.tables.encounters import encounters, patient_profiles
from osler.storage.tables.release import released_documents
from osler.storage.tables.sealing import object_keys

BATCH: Final = 20
"""Encounters of the measured organization that are written in a row, before those of the others."""

FIRST: Final = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
BETWEEN: Final = timedelta(minutes=7)

_OWN: Final = frozenset({"id", "key_id", "encounter_id", "patient_profile_id", "source_id"})
"""Columns of ids that a copy has its own of."""

_SLOTS: Final = (
    (TRANSCRIPT, ReleasedKind.TRANSCRIPT),
    (NOTE, ReleasedKind.DOCUMENT),
    (BILLING, ReleasedKind.BILLING),
    (CHECKLIST, ReleasedKind.CHECKLIST),
)
_FIRST_NAMES: Final = ("Ada", "Bram", "Célia", "Dimitri", "Eleni", "Farid", "Grace", "Hanna", "Iwan", "Jun")
_LAST_NAMES: Final = ("Quill", "Okafor", "Lindqvist", "Marsh", "Nakamura", "O'Brien", "Petit", "Rao", "Silva", "Tran")

_others: Final = Table(
    "copies_to_make",
    MetaData(),
    Column("suffix", Text),
    Column("organization_id", Text),
    Column("owner_id", Text),
    prefixes=["TEMPORARY"],
)


@dataclass(frozen=True)
class Filled:
    """The measured organization, a key of the public API that may read everything of it, and how many encounters there
    are of it and in all."""

    organization_id: str
    key: str
    encounters: int
    in_all: int
    seconds: float


async def filled(settings: Settings, *, of_organization: int, in_all: int) -> Filled:
    """Make a deployment with ``in_all`` encounters, ``of_organization`` of which belong to the measured organization.

    ``in_all`` is a multiple of ``of_organization``: the other organizations have as many each. What memory it takes
    does not depend on either.
    """
    if in_all % of_organization:
        raise ValueError("every organization has as many encounters as the measured one")
    began = time.perf_counter()
    await initialise(settings)
    async with open_core(settings, engine="closed") as core:
        organization_id = (await core.access.create_organization(OPERATOR, "The measured practice")).id
        owner_id = (await core.access.create_user(OPERATOR, organization_id, "a@example.org", "1")).id
        _, key = await core.access.create_key(OPERATOR, organization_id, KeyKind.PUBLIC, scopes=frozenset(Scope))
        others = await _other_organizations(core, owner_id, in_all // of_organization - 1)
        maker = _Maker(core, organization_id, owner_id, of_organization)
        for start in range(0, of_organization, BATCH):
            await maker.write(range(start, min(start + BATCH, of_organization)), others)
        await _settle(core)
    return Filled(organization_id, key, of_organization, in_all, time.perf_counter() - began)


async def _other_organizations(core: Core, owner_id: str, count: int) -> list[dict[str, str]]:
    """Write the other organizations, with one user each, who is a copy too."""
    digits = len(str(count))
    made = [
        {"suffix": str(number).zfill(digits), "organization_id": new_id(), "owner_id": new_id()}
        for number in range(1, count + 1)
    ]
    async with core.database.write() as transaction:
        connection = connection_of(transaction)
        row = (await connection.execute(select(organizations).limit(1))).one()
        user = (await connection.execute(select(users).where(users.c.id == owner_id))).one()
        for other in made:
            organization_id = other["organization_id"]
            await connection.execute(insert(organizations).values({**row._mapping, "id": organization_id}))
            copied = {**user._mapping, "id": other["owner_id"], "organization_id": organization_id}
            await connection.execute(insert(users).values(copied))
    return made


class _Maker:
    """Writes encounters of the measured organization, and their copies in the others beside them."""

    def __init__(self, core: Core, organization_id: str, owner_id: str, count: int) -> None:
        self._sealed = sealed = SealedRows(core.keyring, core.clock)
        self._database = core.database
        self._encounters = SqlEncounterRepository(sealed, core.secret)
        self._profiles = SqlPatientProfileRepository(sealed, core.secret)
        self._organization_id = organization_id
        self._owner_id = owner_id
        self._profile_ids = [new_id() for _ in range(max(1, count // 4))]
        self._chance = random.Random(7)

    async def write(self, numbers: range, others: Sequence[Mapping[str, str]]) -> None:
        """Write the encounters of these numbers, in the order of their creation."""
        made = [self._encounter(number) for number in numbers]
        profiles = [self._profile(number) for number in numbers if number < len(self._profile_ids)]
        heard = [self._recording(encounter) for encounter in made]
        async with self._database.write() as transaction:
            connection = connection_of(transaction)
            await _hasten(connection)
            for profile in profiles:
                await self._profiles.add(transaction, profile)
            for encounter in made:
                await self._encounters.add(transaction, encounter)
            shown = [row for encounter in made for row in await self._documents(transaction, encounter)]
            await connection.execute(insert(recordings), heard)
            await connection.execute(insert(released_documents), shown)
            if others:
                await self._copy(connection, [encounter.id for encounter in made], [p.id for p in profiles], others)

    async def _copy(
        self,
        connection: AsyncConnection,
        encounter_ids: list[str],
        profile_ids: list[str],
        others: Sequence[Mapping[str, str]],
    ) -> None:
        await connection.run_sync(_others.create)
        await connection.execute(insert(_others), others)
        key_ids = [
            key_id
            for table, ids in ((encounters, encounter_ids), (patient_profiles, profile_ids))
            for key_id in await connection.scalars(select(table.c.key_id).where(table.c.id.in_(ids)))
        ]
        for table, column, ids in (
            (object_keys, object_keys.c.id, key_ids),
            (patient_profiles, patient_profiles.c.id, profile_ids),
            (encounters, encounters.c.id, encounter_ids),
            (recordings, recordings.c.encounter_id, encounter_ids),
            (released_documents, released_documents.c.encounter_id, encounter_ids),
        ):
            originals = table.c.organization_id == self._organization_id, column.in_(ids)
            rows = select(*(_copied(name) for name in table.c)).where(*originals).order_by(_others.c.suffix)
            await connection.execute(
                insert(table).from_select(list(table.c), rows.join_from(table, _others, literal(True)))
            )
        await connection.run_sync(_others.drop)

    def _encounter(self, number: int) -> Encounter:
        created_at = FIRST + number * BETWEEN
        ended_at = created_at + timedelta(minutes=25)
        signed = number % 5 == 0
        return Encounter(
            id=new_encounter_id(),
            organization_id=self._organization_id,
            owner_id=self._owner_id,
            created_at=created_at,
            updated_at=ended_at,
            state=EncounterState.SIGNED if signed else EncounterState.COMPLETED,
            patient_profile_id=None if number % 5 == 4 else self._profile_ids[number % len(self._profile_ids)],
            patient=EncounterPatient(
                name=f"{self._pick(_FIRST_NAMES)} {self._pick(_LAST_NAMES)}",
                gender=self._pick(("FEMALE", "MALE")),
                birth_date=self._birth_date(),
                demographic_details="Lives with a partner, works in a bakery. " * 4,
            ),
            name=f"Visit {number}",
            clinician_notes=("Blood pressure at home was 148 over 92 on three days; asks about salt. " * 3,),
            ehr_appointment_id=new_id(),
            ehr_patient_id=new_id(),
            consent=Consent(given=True, changed_at=created_at),
            duration=self._chance.randrange(300, 1800),
            language_code="en",
            transcribe_mode="telehealth" if number % 7 == 0 else "f2f",
            recording_status="FINISHED",
            # Every tenth client says no time: then the recording's start is the date of service.
            created_time_local=None if number % 10 == 9 else created_at,
            signed_at=ended_at if signed else None,
            signed_by=self._owner_id if signed else None,
        )

    def _profile(self, number: int) -> PatientProfile:
        return PatientProfile(
            id=self._profile_ids[number],
            organization_id=self._organization_id,
            owner_id=self._owner_id,
            created_at=FIRST,
            updated_at=FIRST,
            first_name=self._pick(_FIRST_NAMES),
            last_name=self._pick(_LAST_NAMES),
            birth_date=self._birth_date(),
            gender=self._pick(("FEMALE", "MALE")),
            ehr_patient_id=new_id(),
            provider="an EHR",
            phone="+44 20 7946 0018",
            email="patient@example.org",
            demographic_string="Lives with a partner, works in a bakery.",
        )

    def _recording(self, encounter: Encounter) -> dict[str, Any]:
        return {
            "id": new_id(),
            "organization_id": encounter.organization_id,
            "encounter_id": encounter.id,
            "kind": RecordingKind.LIVE.value,
            "index": 0,
            "created_at": encounter.created_at,
            "state": RecordingState.COMPLETE.value,
            "media_type": "audio/mp4",
            "started_at": encounter.created_at,
            "ended_at": encounter.updated_at,
            "finished_at": encounter.updated_at,
            "duration": float(encounter.duration or 0),
            "failure": None,
        }

    async def _documents(self, transaction: Transaction, encounter: Encounter) -> list[dict[str, Any]]:
        organization_id = encounter.organization_id
        ids = {slot: derived_id("released document", organization_id, encounter.id, slot) for slot, _ in _SLOTS}
        owner, note = (encounters, encounter.id), (released_documents, ids[NOTE])
        title = await self._sealed.seal_under(transaction, organization_id, owner, note, "History and physical")
        return [
            {
                "id": ids[slot],
                "organization_id": organization_id,
                "encounter_id": encounter.id,
                "kind": kind.value,
                "slot": slot,
                "source_id": new_id(),
                "created_at": encounter.updated_at + timedelta(seconds=place),
                "released_at": encounter.updated_at + timedelta(seconds=place),
                "updated_at": None,
                "audio_duration": float(encounter.duration or 0) if kind is ReleasedKind.TRANSCRIPT else None,
                "sealed": title if slot == NOTE else None,
            }
            for place, (slot, kind) in enumerate(_SLOTS)
        ]

    def _birth_date(self) -> date:
        return date(1931, 1, 1) + timedelta(days=self._chance.randrange(30_000))

    def _pick(self, choices: Sequence[str]) -> str:
        return self._chance.choice(choices)


def _copied(column: Column[Any]) -> Any:
    """Return what stands in this column of a copy. Its ids are the original's, moved to make room for the suffix."""
    if column.name == "organization_id":
        return _others.c.organization_id
    if column.name in ("owner_id", "signed_by"):
        return _others.c.owner_id
    if column.name in _OWN:
        return func.substr(column, 1 + func.length(_others.c.suffix)) + _others.c.suffix
    return column


async def _hasten(connection: AsyncConnection) -> None:
    """Let the writing of this transaction wait for nothing that only a database with strangers needs."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET LOCAL synchronous_commit = off"))
        await connection.execute(text("SET LOCAL session_replication_role = replica"))  # no look-up of foreign keys
    else:
        await connection.execute(text("PRAGMA cache_size = -262144"))  # KiB


async def _settle(core: Core) -> None:
    """Leave the database as one that has run for a while: PostgreSQL with statistics and its pages all seen by vacuum.

    SQLite keeps no statistics in Osler, so none are made.
    """
    async with core.database.without_transaction() as connection:
        if core.database.is_sqlite:
            await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            return
        for name in metadata.tables:
            await connection.execute(text(f'VACUUM (ANALYZE) "{name}"'))
        await connection.execute(text("CHECKPOINT"))


def fill(settings: Settings, *, of_organization: int, in_all: int) -> Filled:
    """As :func:`filled`, in an event loop of its own."""
    return asyncio.run(filled(settings, of_organization=of_organization, in_all=in_all))
