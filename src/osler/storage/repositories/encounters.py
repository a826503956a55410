"""Encounters as rows: what lists are ordered and filtered by stands open, the rest is sealed."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Update,
    bindparam,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from osler.encounters.model import (
    Consent,
    Encounter,
    EncounterFilter,
    EncounterPatient,
    EncounterState,
    Purpose,
)
from osler.kernel.errors import ConflictError, CorruptedError, ErasedError, MasterKeyError, NotFoundError
from osler.kernel.pages import Page, Position
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of, inside
from osler.storage.repositories.sealed import BlindIndex, SealedRows, with_key
from osler.storage.tables.audio import recordings, segments
from osler.storage.tables.encounters import encounters
from osler.storage.tables.metadata import Time
from osler.storage.tables.notes import documents, notes

logger = logging.getLogger(__name__)
Read = TypeVar("Read")

EHR_PATIENT: Final = "ehr_patient_id"
"""Name of the blind index of the EHR's patient id, the same for encounters and profiles."""


class SqlEncounterRepository:
    """Implements :class:`osler.encounters.ports.EncounterRepository`."""

    def __init__(self, sealed: SealedRows, index: BlindIndex) -> None:
        self._sealed = sealed
        self._index = index

    async def add(self, transaction: Transaction, encounter: Encounter) -> None:
        """Write a new encounter with a key of its own."""
        sealed = await self._sealed.add(
            transaction, encounter.organization_id, encounters, encounter.id, _content(encounter)
        )
        await connection_of(transaction).execute(
            insert(encounters).values(
                id=encounter.id,
                organization_id=encounter.organization_id,
                owner_id=encounter.owner_id,
                created_at=encounter.created_at,
                revision=encounter.revision,
                **self._changeable(encounter),
                **sealed,
            )
        )

    async def get(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Encounter:
        """Raises NotFoundError."""
        return self.encounter_of(await self._row(transaction, organization_id, encounter_id))

    async def lock(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Encounter:
        """As get, held against other writers until the transaction ends. Raises NotFoundError."""
        # Locked by itself and then read anew: the key may be another since the transaction that held the lock before.
        # Rows of other rooms may be added below it meanwhile, which needs no more than the row's id.
        # On SQLite a transaction that writes is alone anyway.
        connection = connection_of(transaction)
        if connection.dialect.name == "postgresql":
            await connection.execute(_LOCK, {"organization": organization_id, "encounter": encounter_id})
        row = await self._row(transaction, organization_id, encounter_id)
        held = inside(transaction).held
        held[HANGING, encounter_id] = row
        key = self._sealed.hold(transaction, row, encounters)
        content = self._sealed.open(row, organization_id, encounters, row.id, key)
        held[STANDING, encounter_id] = row, content
        return _encounter(row, content or {})

    async def _row(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Row[Any]:
        wanted = {"organization": organization_id, "encounter": encounter_id}
        row: Row[Any] | None = (await connection_of(transaction).execute(ONE, wanted)).one_or_none()
        if row is None:
            raise NotFoundError("there is no such encounter")
        return row

    async def save(self, transaction: Transaction, encounter: Encounter) -> Encounter:
        """Write a locked encounter; returns it with its new revision.

        What stands in the row as it is to be is not written again, nor sealed anew: each column in an index costs.
        Raises ConflictError if it was changed since it was read, ErasedError if nothing can be sealed any more.
        """
        row, standing = inside(transaction).held.pop((STANDING, encounter.id), (None, None))
        values = self._changeable(encounter)
        if row is not None:
            values = {name: value for name, value in values.items() if value != getattr(row, name)}
        values["revision"] = encounter.revision + 1
        content = _content(encounter)
        if standing is None or content != standing:
            values["sealed"] = await self._sealed.reseal(
                transaction, encounter.organization_id, encounters, encounter.id, content
            )
            if values["sealed"] is None:
                raise ErasedError("This encounter was erased for good.")
        wanted = {
            "organization": encounter.organization_id,
            "encounter": encounter.id,
            "former_revision": encounter.revision,
        }
        new = {f"new_{name}": value for name, value in values.items()}
        done = await connection_of(transaction).execute(_saving(tuple(values)), {**wanted, **new})
        if done.rowcount != 1:
            raise ConflictError("the encounter was changed by another at the same moment: read it again")
        return replace(encounter, revision=encounter.revision + 1)

    async def list(
        self,
        transaction: Transaction,
        organization_id: str,
        wanted: EncounterFilter,
        *,
        limit: int = 50,
        after: Position | None = None,
        offset: int = 0,
        newest_first: bool = True,
    ) -> Page[Encounter]:
        """Return one page by time of creation, then id: after ``after``, or from ``offset``."""
        query = self._where(with_key(encounters), organization_id, wanted)
        query = one_page(query, encounters.c.created_at, encounters.c.id, limit, after, offset, newest_first)
        rows = (await connection_of(transaction).execute(query)).all()
        last = rows[limit - 1] if len(rows) > limit else None
        items, damaged = readable(rows[:limit], self.encounter_of)
        return Page(items, None if last is None else Position(last.created_at, last.id), damaged)

    async def count(self, transaction: Transaction, organization_id: str, wanted: EncounterFilter) -> int:
        """Return how many encounters fit."""
        query = self._where(select(func.count()).select_from(encounters), organization_id, wanted)
        return int((await connection_of(transaction).execute(query)).scalar_one())

    async def unlink_profile(self, transaction: Transaction, organization_id: str, profile_id: str) -> int:
        """Take a deleted profile's link from its encounters, which keep their own data; returns how many."""
        done = await connection_of(transaction).execute(
            update(encounters)
            .where(encounters.c.organization_id == organization_id, encounters.c.patient_profile_id == profile_id)
            .values(patient_profile_id=None, revision=encounters.c.revision + 1)
        )
        return int(done.rowcount)

    async def due_for_consent_erasure(
        self, transaction: Transaction, now: datetime, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Return encounters, of any organization, whose grace after a withdrawal of consent is over; see the port."""
        query = select(encounters.c.organization_id, encounters.c.id).where(
            encounters.c.consent_erase_at.is_not(None),
            encounters.c.consent_erase_at <= now,
            encounters.c.state != EncounterState.ERASED.value,
        )
        query = query.order_by(encounters.c.consent_erase_at, encounters.c.id).limit(limit)
        return [(row.organization_id, row.id) for row in await connection_of(transaction).execute(query)]

    async def due_for_retention(
        self, transaction: Transaction, organization_id: str, received_before: datetime, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Return encounters of the organization whose audio, all of it, came before that time; see the port."""
        audio = exists().where(
            segments.c.organization_id == encounters.c.organization_id,
            segments.c.encounter_id == encounters.c.id,
            segments.c.blob_id.is_not(None),
        )
        query = select(encounters.c.organization_id, encounters.c.id).where(
            encounters.c.organization_id == organization_id,
            # No audio is older than its encounter: this spares a look at the audio of the young ones.
            encounters.c.created_at < received_before,
            audio,
            ~audio.where(segments.c.received_at >= received_before),
        )
        query = query.order_by(encounters.c.created_at, encounters.c.id).limit(limit)
        return [(row.organization_id, row.id) for row in await connection_of(transaction).execute(query)]

    def _where(self, query: Select[Any], organization_id: str, wanted: EncounterFilter) -> Select[Any]:
        column = encounters.c
        query = query.where(column.organization_id == organization_id)
        if wanted.owner_id is not None:
            # Of one patient there are few: SQLite, which keeps no statistics, must not walk through all of the owner's.
            of_patient = wanted.ehr_patient_id is not None or wanted.patient_profile_id is not None
            owner_id = func.coalesce(column.owner_id, "") if of_patient else column.owner_id
            query = query.where(owner_id == wanted.owner_id)
        if wanted.patient_profile_id is not None:
            query = query.where(column.patient_profile_id == wanted.patient_profile_id)
        if wanted.ehr_patient_id is not None:
            found_by = self._index.blind_index(organization_id, EHR_PATIENT, wanted.ehr_patient_id)
            query = query.where(column.ehr_patient_index == found_by)
        if wanted.states is not None:
            query = query.where(column.state.in_([state.value for state in wanted.states]))
        else:
            query = query.where(column.state != EncounterState.ERASED.value)
        if wanted.purposes is not None:
            query = query.where(column.purpose.in_([purpose.value for purpose in wanted.purposes]))
        if wanted.created_from is not None:
            query = query.where(column.created_at >= wanted.created_from)
        if wanted.created_before is not None:
            query = query.where(column.created_at < wanted.created_before)
        return query

    def _changeable(self, encounter: Encounter) -> dict[str, Any]:
        ehr_patient_id = encounter.ehr_patient_id
        return {
            "updated_at": encounter.updated_at,
            "state": encounter.state.value,
            "purpose": encounter.purpose.value,
            "patient_profile_id": encounter.patient_profile_id,
            "ehr_patient_index": self._index.blind_index(encounter.organization_id, EHR_PATIENT, ehr_patient_id)
            if ehr_patient_id
            else None,
            "ehr_provider": None,  # as free text it is sealed; the column holds what was written before it was
            "consent_given": encounter.consent.given,
            "consent_changed_at": encounter.consent.changed_at,
            "consent_erase_at": encounter.consent.erase_at,
            "duration": encounter.duration,
            "language_code": encounter.language_code,
            "output_language_code": encounter.output_language_code,
            "transcribe_mode": encounter.transcribe_mode,
            "recording_status": encounter.recording_status,
            "session_status": encounter.session_status,
            "created_time_local": encounter.created_time_local,
            "generate_output_without_recording": encounter.generate_output_without_recording,
            "linked_encounter_ids": list(encounter.linked_encounter_ids),
            "signed_at": encounter.signed_at,
            "signed_by": encounter.signed_by,
            "audio_erased_at": encounter.audio_erased_at,
            "erased_at": encounter.erased_at,
        }

    def encounter_of(self, row: Row[Any]) -> Encounter:
        """Return the encounter of a row that was selected by :func:`with_key`, whatever else was selected."""
        return _encounter(row, self._sealed.open(row, row.organization_id, encounters, row.id) or {})


def readable(
    rows: Sequence[Row[Any]], read: Callable[[Row[Any]], Read], field: str = "encounter_id"
) -> tuple[tuple[Read, ...], tuple[str, ...]]:
    """Return what ``rows`` say, and the ids of those that are damaged, which the log names too as its ``field``.

    Raises MasterKeyError if none can be opened: then it is not the rows.
    """
    items: list[Read] = []
    damaged: list[str] = []
    for row in rows:
        try:
            items.append(read(row))
        except (CorruptedError, MasterKeyError) as error:
            if isinstance(error, MasterKeyError) and len(rows) > 1 and len(damaged) == len(rows) - 1:
                raise
            damaged.append(row.id)
            logger.error("damaged row", extra={field: row.id, "error": type(error)})
    return tuple(items), tuple(damaged)


def one_page(
    query: Select[Any],
    created_at: ColumnElement[datetime],
    row_id: ColumnElement[str],
    limit: int,
    after: Position | None,
    offset: int,
    newest_first: bool,
) -> Select[Any]:
    """Order by time of creation, then id, and cut out one page and one row more: it tells whether another follows."""
    if after is not None:
        here = tuple_(created_at, row_id)
        there = tuple_(literal(after.created_at, Time()), literal(after.id))
        query = query.where(here < there if newest_first else here > there)
    order = (created_at.desc(), row_id.desc()) if newest_first else (created_at, row_id)
    return query.order_by(*order).limit(limit + 1).offset(offset)


def _one() -> Select[Any]:
    """Return the query of one encounter, which also says what hangs on it: most have little, and that is not read."""

    def has(table: Any) -> ColumnElement[bool]:
        below = table.c.organization_id == encounters.c.organization_id, table.c.encounter_id == encounters.c.id
        return exists().where(*below).correlate(encounters)

    return (
        with_key(encounters)
        .add_columns(
            has(recordings).label("has_recordings"),
            has(notes).label("has_notes"),
            has(documents).label("has_documents"),
        )
        .where(*_THIS)
    )


# Made once: to put a statement together takes longer than to execute it.
_THIS: Final = (encounters.c.organization_id == bindparam("organization"), encounters.c.id == bindparam("encounter"))
ONE: Final = _one()
_LOCK: Final = select(encounters.c.id).where(*_THIS).with_for_update(key_share=True)


@lru_cache(256)
def _saving(names: tuple[str, ...]) -> Update:
    """Return what writes these columns of an encounter that is still of the revision that was read."""
    columns = [encounters.c[name] for name in names]
    return (
        update(encounters)
        .where(*_THIS, encounters.c.revision == bindparam("former_revision"))
        .values({column: bindparam(f"new_{column.name}", type_=column.type) for column in columns})
    )


STANDING: Final = "how an encounter stands"
"""Under this and its id a transaction holds the row of an encounter that it has locked, and what was sealed in it."""

HANGING: Final = "what hangs on an encounter"
"""Under this and its id a transaction holds the row of :data:`ONE` of an encounter that it has locked."""


def _encounter(row: Row[Any], content: Mapping[str, Any]) -> Encounter:
    return Encounter(
        id=row.id,
        organization_id=row.organization_id,
        owner_id=row.owner_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        state=EncounterState(row.state),
        purpose=Purpose(row.purpose),
        patient_profile_id=row.patient_profile_id,
        patient=_patient(content.get("patient")),
        name=content.get("name"),
        clinician_notes=tuple(content.get("clinician_notes", ())),
        ehr_appointment_id=content.get("ehr_appointment_id"),
        ehr_patient_id=content.get("ehr_patient_id"),
        ehr_provider=content.get("ehr_provider") or row.ehr_provider,
        patient_from=content.get("patient_from"),
        consent=Consent(row.consent_given, row.consent_changed_at, row.consent_erase_at),
        duration=row.duration,
        language_code=row.language_code,
        output_language_code=row.output_language_code,
        transcribe_mode=row.transcribe_mode,
        recording_status=row.recording_status,
        session_status=row.session_status,
        created_time_local=row.created_time_local,
        generate_output_without_recording=row.generate_output_without_recording,
        linked_encounter_ids=tuple(row.linked_encounter_ids),
        signed_at=row.signed_at,
        signed_by=row.signed_by,
        audio_erased_at=row.audio_erased_at,
        erased_at=row.erased_at,
        revision=row.revision,
    )


def _content(encounter: Encounter) -> dict[str, Any]:
    patient = encounter.patient
    return {
        "name": encounter.name,
        "patient": patient
        and {
            "name": patient.name,
            "gender": patient.gender,
            "birth_date": patient.birth_date and patient.birth_date.isoformat(),
            "demographic_details": patient.demographic_details,
        },
        CLINICIAN_NOTES: list(encounter.clinician_notes),
        "ehr_appointment_id": encounter.ehr_appointment_id,
        "ehr_patient_id": encounter.ehr_patient_id,
        "ehr_provider": encounter.ehr_provider,
        "patient_from": encounter.patient_from,
    }


def _patient(content: dict[str, Any] | None) -> EncounterPatient | None:
    if content is None:
        return None
    birth_date = content["birth_date"]
    return EncounterPatient(
        name=content["name"],
        gender=content["gender"],
        birth_date=birth_date and date.fromisoformat(birth_date),
        demographic_details=content["demographic_details"],
    )


CLINICIAN_NOTES: Final = "clinician_notes"
"""What goes out of the sealed content when unsigned texts are erased."""
