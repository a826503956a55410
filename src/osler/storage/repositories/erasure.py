"""Erasure over all rooms' tables, and the account of it: what was applied, and what is left to do after the commit."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from sqlalchemy import select, union_all, update

from osler.encounters.model import (
    Consent,
    EncounterStanding,
    EncounterState,
    Erasure,
    ErasureScope,
    UnfinishedErasure,
)
from osler.kernel.clock import Clock
from osler.kernel.errors import CorruptedError, NotFoundError
from osler.kernel.transactions import Transaction
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.repositories.destruction import SIGNABLE, Destruction, of_encounter
from osler.storage.repositories.encounters import CLINICIAN_NOTES
from osler.storage.repositories.insertion import insert_unless_there
from osler.storage.repositories.sealed import SealedRows, destroy_keys, with_key
from osler.storage.tables.encounters import context_documents, encounters, patient_profiles
from osler.storage.tables.erasures import erasures
from osler.storage.tables.metadata import metadata
from osler.storage.tables.release import released_documents

APART: Final = {ErasureScope.PATIENT_PROFILE: patient_profiles, ErasureScope.CONTEXT_DOCUMENT: context_documents}
"""The tables of what is erased by itself; all other scopes are an encounter's."""


class SqlEncounterEraser:
    """Implements :class:`osler.encounters.ports.EncounterEraser`."""

    def __init__(self, database: SqlDatabase, sealed: SealedRows, clock: Clock) -> None:
        self._database = database
        self._sealed = sealed
        self._clock = clock

    async def lock(self, transaction: Transaction, organization_id: str, encounter_id: str) -> EncounterStanding:
        """Return how the encounter stands, held against other writers; opens nothing sealed. Raises NotFoundError."""
        connection = connection_of(transaction)
        query = select(
            encounters.c.state,
            encounters.c.consent_given,
            encounters.c.consent_changed_at,
            encounters.c.consent_erase_at,
        ).where(encounters.c.organization_id == organization_id, encounters.c.id == encounter_id)
        row = (await connection.execute(query.with_for_update(key_share=True))).one_or_none()
        if row is None:
            raise NotFoundError("there is no such encounter")
        signed = union_all(
            *(
                select(table.c.id).where(
                    of_encounter(table, organization_id, encounter_id),
                    table.c.signed_at.is_not(None),
                    table.c.sealed.is_not(None),
                )
                for table in SIGNABLE
            )
        )
        return EncounterStanding(
            EncounterState(row.state),
            Consent(row.consent_given, row.consent_changed_at, row.consent_erase_at),
            tuple((await connection.execute(signed)).scalars()),
        )

    async def destroy(
        self, transaction: Transaction, erasure: Erasure, *, created_before: datetime | None = None
    ) -> bool:
        """Destroy what the erasure covers; see the port."""
        is_there = await self._hold(transaction, erasure)
        if not await self._note(transaction, erasure) or not is_there:
            return False
        connection = connection_of(transaction)
        work = Destruction(connection, erasure, self._clock.now(), created_before)
        match erasure.scope:
            case ErasureScope.PATIENT_PROFILE:
                blob_ids = await work.patient_profile()
            case ErasureScope.CONTEXT_DOCUMENT:
                blob_ids = await work.context_document()
            case _:
                blob_ids = await self._of_encounter(transaction, work, erasure)
        await connection.execute(update(erasures).where(erasures.c.id == erasure.id).values(blob_ids=blob_ids))
        return True

    async def _hold(self, transaction: Transaction, erasure: Erasure) -> bool:
        """Hold what is to be erased against other writers; False if it is not there."""
        connection = connection_of(transaction)
        table = APART.get(erasure.scope, encounters)
        this = (table.c.organization_id == erasure.organization_id, table.c.id == erasure.subject_id)
        if table is context_documents:
            # Its encounter first, as all others do: what may rest on the document is not written at the same moment,
            # and nobody who holds the encounter waits for the document while this waits for what he holds.
            above = select(table.c.encounter_id).where(*this).scalar_subquery()
            query = select(encounters.c.id).where(
                encounters.c.organization_id == erasure.organization_id, encounters.c.id == above
            )
            await connection.execute(query.with_for_update(key_share=True))
        query = select(table.c.id).where(*this).with_for_update(key_share=table is encounters)
        return (await connection.execute(query)).first() is not None

    async def _note(self, transaction: Transaction, erasure: Erasure) -> bool:
        """Note that an erasure is applied; False if it was before."""
        noted = {
            "id": erasure.id,
            "organization_id": erasure.organization_id,
            "subject_id": erasure.subject_id,
            "applied_at": self._clock.now(),
            "blob_ids": [],
        }
        return await insert_unless_there(connection_of(transaction), erasures, noted)

    async def _of_encounter(self, transaction: Transaction, work: Destruction, erasure: Erasure) -> list[str]:
        """Destroy what the erasure covers of an encounter that is there; return the ids of the blobs."""
        blob_ids = await work.audio()
        if erasure.scope is not ErasureScope.AUDIO:
            blob_ids += await work.context_documents()
            await work.texts()
            await work.released()
            await work.answers()
        await work.jobs()
        if erasure.scope is ErasureScope.EVERYTHING:
            await work.encounter()
            return blob_ids
        if erasure.scope is ErasureScope.AUDIO_AND_UNSIGNED:
            await self._seal_anew(transaction, erasure)
        await work.waiting_notes()
        await work.encounter_without_audio()
        return blob_ids

    async def _seal_anew(self, transaction: Transaction, erasure: Erasure) -> None:
        """Seal the encounter without its clinician's notes under a new key; the old one is destroyed.

        With it goes what else it sealed: the titles of what was released and is gone. Those that stay get the new one.
        """
        connection = connection_of(transaction)
        of_erasure = (
            encounters.c.organization_id == erasure.organization_id,
            encounters.c.id == erasure.subject_id,
        )
        row = (await connection.execute(with_key(encounters).where(*of_erasure))).one()
        content = self._sealed.open(row, erasure.organization_id, encounters, erasure.subject_id)
        former = self._sealed.key_of(row.key_id, row.wrapped, row.master)
        if not content or former is None:
            return
        content[CLINICIAN_NOTES] = []
        sealed = await self._sealed.add(transaction, erasure.organization_id, encounters, erasure.subject_id, content)
        await connection.execute(update(encounters).where(*of_erasure).values(**sealed))
        titled = select(released_documents.c.id, released_documents.c.sealed).where(
            of_encounter(released_documents, erasure.organization_id, erasure.subject_id),
            released_documents.c.sealed.is_not(None),
        )
        for document_id, title in (await connection.execute(titled)).all():
            place, anew = (released_documents, document_id), None
            with suppress(CorruptedError):  # it is called by its kind then
                plain = self._sealed.unsealed(former, title, erasure.organization_id, *place)
                owner = encounters, erasure.subject_id
                anew = await self._sealed.seal_under(transaction, erasure.organization_id, owner, place, plain)
            await connection.execute(
                update(released_documents).where(released_documents.c.id == document_id).values(sealed=anew)
            )
        await destroy_keys(connection, [row.key_id], self._clock.now())

    async def applied(self, transaction: Transaction) -> frozenset[str]:
        """Return the ids of all erasures that were applied to this database."""
        return frozenset(await connection_of(transaction).scalars(select(erasures.c.id)))

    async def unfinished(self, transaction: Transaction, limit: int) -> Sequence[UnfinishedErasure]:
        """Return erasures that were applied, oldest first, whose blobs and traces may still be there."""
        query = select(erasures.c.id, erasures.c.blob_ids).where(erasures.c.finished_at.is_(None))
        query = query.order_by(erasures.c.applied_at, erasures.c.id).limit(limit)
        rows = await connection_of(transaction).execute(query)
        return [UnfinishedErasure(row.id, tuple(row.blob_ids)) for row in rows]

    async def finish(self, transaction: Transaction, erasure_ids: Sequence[str], at: datetime) -> None:
        """Note that blobs and traces of these erasures are gone."""
        await connection_of(transaction).execute(
            update(erasures).where(erasures.c.id.in_(list(erasure_ids))).values(finished_at=at, blob_ids=[])
        )

    async def known_blobs(self, transaction: Transaction, blob_ids: Sequence[str]) -> frozenset[str]:
        """Return those of ``blob_ids`` that any row refers to, in whatever table has blobs."""
        # What an unfinished erasure still has to remove is its own affair: no row refers to it any more.
        columns = [table.c.blob_id for table in metadata.tables.values() if "blob_id" in table.c]
        query = union_all(*(select(column).where(column.in_(list(blob_ids))) for column in columns))
        return frozenset(await connection_of(transaction).scalars(query))

    async def erase_traces(self) -> None:
        """Leave nothing of what was destroyed in the database's files. Raises DatabaseUnavailableError."""
        await self._database.erase_traces()
