"""A deployment on the storage alone: sealed rows in every table, objects, a ledger, a chain; to be backed up, restored
and re-keyed. What it says of patients is marked, so that it can be looked for where it must not stand."""

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, select, text, update

from osler.encounters.model import Erasure, ErasureReason, ErasureScope
from osler.kernel.blobs import ObjectKey, StoredBlob
from osler.kernel.clock import SystemClock
from osler.kernel.ids import new_encounter_id, new_id
from osler.storage.backup.create import Deployment
from osler.storage.backup.restore import Target
from osler.storage.blobs.local import LocalObjects
from osler.storage.blobs.objects import ObjectStore
from osler.storage.blobs.vault import SealedBlobVault, SealedBy
from osler.storage.database import SqlDatabase, SqlTransaction
from osler.storage.erasure_ledger import StoredErasureLedger
from osler.storage.repositories.sealed import SealedRows, blob_columns, destroy_keys, with_key
from osler.storage.repositories.secrets import deployment_secret
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import KeyRing, MasterKey
from osler.storage.tables import metadata
from osler.storage.tables.access import organizations, users
from osler.storage.tables.audio import recordings, segments
from osler.storage.tables.encounters import encounters
from osler.storage.tables.notes import notes
from osler.storage.tables.sealing import object_keys
from osler.storage.tables.speech import transcripts

MARKER = "Zebulon Quillfeather has gout"
"""What no file may show."""

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
CLOCK = SystemClock()


@dataclass(frozen=True)
class Visit:
    """The ids of one encounter's rows, and its sound."""

    encounter: str
    note: str
    blob: StoredBlob
    sound: bytes = field(repr=False)


async def chunks_of(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1 << 20):
        yield data[start : start + (1 << 20)]


class Laboratory:
    """A deployment whose parts lie in ``folder`` and in a migrated database."""

    def __init__(
        self,
        database: SqlDatabase,
        folder: Path,
        key: bytes | None = None,
        ring: KeyRing | None = None,
        objects: ObjectStore | None = None,
    ) -> None:
        self.key = key or os.urandom(32)
        self.ring = ring or KeyRing(MasterKey(self.key))
        self.database = database
        self.folder = folder
        self.objects: ObjectStore = objects or LocalObjects(folder / "blobs")
        self.sealed: SealedBy = "osler"
        self.erasures = LocalObjects(folder / "erasures")
        self.rows = SealedRows(self.ring, CLOCK)

    async def deployment(self) -> Deployment:
        return Deployment(self.database, self.objects, await self.ledger(), self.ring, CLOCK)

    @property
    def target(self) -> Target:
        return Target(self.database, self.objects, self.ring, self.ledger_under, self.apply_ledger)

    def ledger_under(self, secret: DeploymentSecret) -> StoredErasureLedger:
        return StoredErasureLedger(self.erasures, secret)

    async def ledger(self) -> StoredErasureLedger:
        return self.ledger_under(await self.secret())

    async def secret(self) -> DeploymentSecret:
        return await deployment_secret(self.database, self.ring)

    async def vault(self) -> SealedBlobVault:
        return SealedBlobVault(self.objects, self.ring, await self.secret(), sealed=self.sealed)

    async def organization(self) -> tuple[str, str]:
        """Return the ids of a new organization and of its only user."""
        await self.secret()
        organization_id, user_id = new_id(), new_id()
        async with self.database.write() as transaction:
            await transaction.connection.execute(
                insert(organizations).values(
                    id=organization_id,
                    name="Practice",
                    created_at=NOW,
                    release="automatic",
                    consent="optional",
                    visibility="tenant",
                    consent_grace_seconds=0,
                    public_api=True,
                )
            )
            sealed = await self.rows.add(transaction, organization_id, users, user_id, {"email": "q@example.org"})
            await transaction.connection.execute(
                insert(users).values(
                    id=user_id,
                    organization_id=organization_id,
                    created_at=NOW,
                    email_index=os.urandom(32),
                    third_party_index=os.urandom(32),
                    **sealed,
                )
            )
        return organization_id, user_id

    async def visit(self, organization_id: str, user_id: str, sound: bytes | None = None, **changes: Any) -> Visit:
        """Store a visit with one recording of one segment, and its note."""
        sound = sound if sound is not None else MARKER.encode() * 200 + os.urandom(50_000)
        blob = await (await self.vault()).store(organization_id, chunks_of(sound))
        encounter_id, recording_id, note_id = new_encounter_id(), new_id(), new_id()
        owned = {"organization_id": organization_id, "encounter_id": encounter_id}
        async with self.database.write() as transaction:
            connection = transaction.connection
            sealed = await self.rows.add(transaction, organization_id, encounters, encounter_id, {"patient": MARKER})
            await connection.execute(
                insert(encounters).values(
                    id=encounter_id,
                    organization_id=organization_id,
                    owner_id=user_id,
                    created_at=NOW,
                    updated_at=NOW + timedelta(microseconds=1),
                    state="active",
                    purpose="care",
                    consent_given=True,
                    generate_output_without_recording=False,
                    linked_encounter_ids=["1", "2"],
                    revision=1,
                    **{**sealed, **changes},
                )
            )
            await connection.execute(
                insert(recordings).values(
                    id=recording_id, kind="live", index=0, created_at=NOW, state="finished", duration=61.25, **owned
                )
            )
            if blob.key is not None:
                await self.rows.add_key(transaction, organization_id, blob.key)
            await connection.execute(
                insert(segments).values(
                    id=new_id(),
                    recording_id=recording_id,
                    index=0,
                    received_at=NOW,
                    status="done",
                    seconds=1e-9,
                    **owned,
                    **blob_columns(blob),
                )
            )
            transcript_id = new_id()
            sealed = await self.rows.add(transaction, organization_id, transcripts, transcript_id, {"turns": [MARKER]})
            await connection.execute(
                insert(transcripts).values(
                    id=transcript_id, recording_id=recording_id, version=1, created_at=NOW, **owned, **sealed
                )
            )
            sealed = await self.rows.add(transaction, organization_id, notes, note_id, {"text": MARKER})
            await connection.execute(
                insert(notes).values(
                    id=note_id,
                    version=1,
                    created_at=NOW,
                    status="complete",
                    template="full",
                    voice_style="goldilocks",
                    engine=None,
                    options={"ü": [1, 2.5, None, True]},
                    stale=False,
                    **owned,
                    **sealed,
                )
            )
        return Visit(encounter_id, note_id, blob, sound)

    async def note_of(self, visit: Visit) -> Any:
        """Return the opened text of the visit's note; None if it was erased."""
        async with self.database.read() as transaction:
            query = with_key(notes).where(notes.c.id == visit.note)
            row = (await transaction.connection.execute(query)).one()
        content = self.rows.open(row, row.organization_id, notes, visit.note)
        return content and content["text"]

    async def sound_of(self, visit: Visit) -> bytes:
        """Return the opened sound, by the key that stands in the database now."""
        blob = visit.blob
        if blob.key is not None:
            async with self.database.read() as transaction:
                query = select(object_keys).where(object_keys.c.id == blob.key.id)
                row = (await transaction.connection.execute(query)).one()
            blob = replace(blob, key=ObjectKey(row.id, row.wrapped or b"", row.master))
        return b"".join([piece async for piece in (await self.vault()).stream(blob)])

    async def erase(self, organization_id: str, visit: Visit) -> Erasure:
        """Write an erasure into the ledger and destroy the visit's note and object."""
        erasure = Erasure(
            new_id(), organization_id, visit.encounter, ErasureScope.EVERYTHING, ErasureReason.COMMAND, NOW, ("kept",)
        )
        await (await self.ledger()).append(erasure)
        await self.apply(erasure)
        await (await self.vault()).delete([visit.blob.id])
        return erasure

    async def apply(self, erasure: Erasure) -> None:
        async with self.database.write() as transaction:
            mine = notes.c.encounter_id == erasure.subject_id
            keys = list(await transaction.connection.scalars(select(notes.c.key_id).where(mine)))
            of_sounds = select(segments.c.blob_key_id).where(segments.c.encounter_id == erasure.subject_id)
            keys += [key for key in await transaction.connection.scalars(of_sounds) if key is not None]
            await transaction.connection.execute(update(notes).where(mine).values(sealed=None))
            await destroy_keys(transaction.connection, keys, NOW)
            await transaction.connection.execute(
                update(segments)
                .where(segments.c.encounter_id == erasure.subject_id)
                .values(blob_id=None, blob_size=None, blob_digest=None, blob_key_id=None)
            )

    async def apply_ledger(self, secret: DeploymentSecret) -> int:
        """What a restore is given to erase again."""
        erasures = await self.ledger_under(secret).all()
        for erasure in erasures:
            await self.apply(erasure)
        return len(erasures)


async def contents(database: SqlDatabase, *, without: Sequence[Table] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, by primary key, JSON in one spelling."""
    found = {}
    async with database.read() as transaction:
        for table in metadata.sorted_tables:
            if table not in without:
                rows = await transaction.connection.execute(select(table).order_by(*table.primary_key))
                found[table.name] = [tuple(_plain(value) for value in row) for row in rows]
    return found


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def files_below(folder: Path) -> dict[str, tuple[int, str]]:
    """Return of each file its time of change (ns) and SHA-256."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def write_until(laboratory: Laboratory, organization_id: str, user_id: str, stop: asyncio.Event) -> int:
    """Store visits, each in a transaction of its own, until told to stop; return how many."""
    count = 0
    while not stop.is_set():
        await laboratory.visit(organization_id, user_id, secrets.token_bytes(2000))
        count += 1
    return count


async def null_kinds(transaction: SqlTransaction) -> list[tuple[str, str | None]]:
    """Return the raw text of the notes' engine column, in which a JSON null and no value are two things."""
    rows = await transaction.connection.execute(text("SELECT id, CAST(engine AS TEXT) FROM notes ORDER BY id"))
    return [(row[0], row[1]) for row in rows]
