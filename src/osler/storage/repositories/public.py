"""What the public API reads: a page of encounters in three statements, one encounter with its documents in two.

The page is cut out of a partial index (``ix_encounters_public``), which holds only what outsiders may be shown, in
their order: neither what goes before it nor the count reads a row.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, Text, bindparam, case, cast, func, literal_column, null, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from osler.audio.model import RecordingKind
from osler.encounters.model import EncounterState, Purpose
from osler.kernel.transactions import Transaction
from osler.release.model import ReleasedKind
from osler.release.public_model import PublicPatient, PublicRecord, PublicStanding, ShownDocument
from osler.storage.database import connection_of
from osler.storage.repositories.encounters import readable
from osler.storage.repositories.release import released_document
from osler.storage.repositories.sealed import SealedRows
from osler.storage.sealing.keys import DataKey
from osler.storage.tables.audio import recordings
from osler.storage.tables.encounters import encounters, patient_profiles
from osler.storage.tables.metadata import Time
from osler.storage.tables.release import released_documents as released
from osler.storage.tables.sealing import object_keys

MUCH: Final = 500_000
"""Sealed bytes of a page from which on it is opened in a thread: as long as a dozen ordinary pages together take."""

_EVER: Final = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class SqlPublicRepository:
    """Implements :class:`osler.release.ports.PublicRepository`."""

    def __init__(self, sealed: SealedRows) -> None:
        self._sealed = sealed

    async def page(
        self,
        transaction: Transaction,
        organization_id: str,
        *,
        limit: int,
        offset: int,
        newest_first: bool,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
    ) -> tuple[Sequence[PublicRecord], int]:
        """Return one page by time of creation, then id, and how many encounters there are; see the port."""
        connection = connection_of(transaction)
        wanted = {"organization": organization_id, "start_at": start_at or _EVER[0], "end_at": end_at or _EVER[1]}
        statements = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
        statement = statements[connection.dialect.name]
        rows = (await connection.execute(statement, {**wanted, "limit": limit, "offset": offset})).all()
        documents = await self._documents(connection, organization_id, rows)
        if len(rows) < limit and (rows or not offset):
            return await self._opened(rows, documents), offset + len(rows)
        # The database counts while the page is opened here: then a large organization waits no longer for its page.
        counting = asyncio.ensure_future(connection.execute(_COUNT, wanted))
        try:
            await asyncio.sleep(0)  # the statement is on its way
            records = await self._opened(rows, documents)
            return records, int((await counting).scalar_one())
        finally:
            while not counting.done():  # the connection is busy until then
                counting.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((counting,))
            if not counting.cancelled():
                counting.exception()  # of two errors the page's is told

    async def standing(
        self, transaction: Transaction, encounter_id: str, document_id: str | None = None
    ) -> PublicStanding | None:
        """Return what decides whether an encounter may be shown, with that document; see the port."""
        wanted = {"encounter": encounter_id, "document": document_id}
        row = (await connection_of(transaction).execute(_STANDING, wanted)).one_or_none()
        if row is None:
            return None
        erased = row.encounter_state == EncounterState.ERASED.value
        document = None
        if row.id is not None and not erased:
            key = None if row.sealed is None else self._sealed.key_of(row.key_id, row.wrapped, row.master)
            title = None if row.sealed is None else self._title(key, row.sealed, row.organization_id, row.id)
            document = released_document(row, title)
        return PublicStanding(
            organization_id=row.encounter_organization,
            is_care=row.purpose == Purpose.CARE.value,
            is_erased=erased,
            transcribe_mode=row.transcribe_mode,
            document=document,
        )

    async def record(self, transaction: Transaction, organization_id: str, encounter_id: str) -> PublicRecord | None:
        """Return one encounter; see the port. Raises CorruptedError."""
        wanted = {"organization": organization_id, "encounter": encounter_id}
        connection = connection_of(transaction)
        rows = (await connection.execute(_ONE[connection.dialect.name], wanted)).all()
        documents = await self._documents(connection, organization_id, rows)
        return self._record(rows[0], documents) if rows else None

    async def _documents(
        self, connection: AsyncConnection, organization_id: str, rows: Sequence[Row[Any]]
    ) -> "dict[str, _Released]":
        """Return what is released of these encounters, by encounter."""
        if connection.dialect.name == "postgresql":
            return {row.id: _READ_RELEASED(row.documents) if row.documents else [] for row in rows}
        found: dict[str, _Released] = {row.id: [] for row in rows}
        if found:
            wanted = {"organization": organization_id, "encounters": list(found)}
            for encounter_id, document_id, kind, slot, updated_at, duration, sealed in await connection.execute(
                _DOCUMENTS, wanted
            ):
                in_digits = None if sealed is None else sealed.hex()
                found[encounter_id].append((document_id, kind, slot, updated_at, duration, in_digits))
        return found

    async def _opened(self, rows: Sequence[Row[Any]], documents: "dict[str, _Released]") -> Sequence[PublicRecord]:
        """Open the encounters of a page; one that is damaged is left out, and named in the log."""

        def opened() -> Sequence[PublicRecord]:
            return readable(rows, lambda row: self._record(row, documents))[0]

        size = sum(len(row.sealed or b"") + len(row.profile_sealed or b"") for row in rows)
        return await asyncio.to_thread(opened) if size > MUCH else opened()

    def _record(self, row: Row[Any], documents: "dict[str, _Released]") -> PublicRecord:
        # By position, in the order of the query's columns: a look-up by name takes as long as opening a title.
        values: tuple[Any, ...] = tuple(row)
        encounter_id, organization_id, created_at, updated_at, state, mode, local, started = values[:8]
        key_id, wrapped, master, sealed = values[8:12]
        profile_id, profile_key_id, profile_wrapped, profile_master, profile_sealed = values[12:17]
        below = documents[encounter_id]
        profile, name, birth_date, key = None, "", None, None
        if profile_id is not None and profile_wrapped is not None:
            profile_key = self._sealed.key_of(profile_key_id, profile_wrapped, profile_master)
            assert profile_key is not None
            place = (organization_id, patient_profiles, profile_id)
            read = _READ_PROFILE(self._sealed.plain(profile_key, profile_sealed, *place))
            profile = PublicPatient(profile_id, read.first_name, read.last_name, read.birth_date)
        # The key is opened only for what is needed of it: a profile goes before the session's own patient.
        if profile is None or any(document[5] for document in below):
            key = self._sealed.key_of(key_id, wrapped, master)
        if profile is None and key is not None and sealed is not None:
            plain = self._sealed.plain(key, sealed, organization_id, encounters, encounter_id)
            if patient := _READ_ENCOUNTER(plain).patient:
                name, birth_date = patient.name, patient.birth_date
        return PublicRecord(
            encounter_id,
            organization_id,
            created_at,
            updated_at,
            state == _COMPLETED,
            state == _SIGNED,
            mode,
            local,
            started,
            profile,
            name,
            birth_date,
            [
                ShownDocument(
                    document_id,
                    _KINDS[kind],
                    slot,
                    last_change,
                    duration,
                    self._title(key, bytes.fromhex(title), organization_id, document_id) if title else None,
                )
                for document_id, kind, slot, last_change, duration, title in below
            ],
        )

    def _title(self, key: DataKey | None, sealed: bytes, organization_id: str, document_id: str) -> str | None:
        if key is None:
            return None
        return _READ_TITLE(self._sealed.plain(key, sealed, organization_id, released, document_id))


# What a page shows of sealed content; the rest of it is not built.


class _ProfileContent(msgspec.Struct):
    first_name: str | None = None
    last_name: str | None = None
    birth_date: date | None = None


class _PatientContent(msgspec.Struct):
    name: str
    birth_date: date | None


class _EncounterContent(msgspec.Struct):
    patient: _PatientContent | None = None


_Released = list[tuple[str, str, str, datetime, float | None, str | None]]
"""Of an encounter's documents: id, kind, slot, last change, seconds of audio, sealed title in hexadecimal digits."""

_READ_PROFILE: Final = msgspec.json.Decoder(_ProfileContent).decode
_READ_ENCOUNTER: Final = msgspec.json.Decoder(_EncounterContent).decode
_READ_RELEASED: Final = msgspec.json.Decoder(_Released).decode
_READ_TITLE: Final = msgspec.json.Decoder(str).decode
_KINDS: Final = {kind.value: kind for kind in ReleasedKind}
_COMPLETED: Final = EncounterState.COMPLETED.value
_SIGNED: Final = EncounterState.SIGNED.value


_KEYS: Final = object_keys.alias("profile_keys")
_SHOWN: Final = (
    encounters.c.organization_id == bindparam("organization"),
    # As the partial index says it, in words: with parameters neither planner could tell that it holds them all.
    text("encounters.purpose = 'care' AND encounters.state <> 'erased'"),
)
_BETWEEN: Final = (
    encounters.c.created_at >= bindparam("start_at"),
    encounters.c.created_at < bindparam("end_at"),
)
_COUNT: Final = select(func.count()).select_from(encounters).where(*_SHOWN, *_BETWEEN)


def _first_start() -> Any:
    """Return when the first recording began: as its client says, or as it was opened, if it was heard live."""
    column = recordings.c
    return (
        select(
            case(
                (column.started_at.is_not(None), column.started_at),
                (column.kind != RecordingKind.USER_UPLOADED.value, column.created_at),
            )
        )
        .where(column.organization_id == encounters.c.organization_id, column.encounter_id == encounters.c.id)
        .order_by(column.index)
        .limit(1)
        .correlate(encounters)
        .scalar_subquery()
    )


def _records(dialect: str) -> Select[Any]:
    """Return the query of encounters with their keys, and of the profile that each is linked to with its own.

    On PostgreSQL it also says what is released of each, as JSON: that is one row for each encounter to be taken apart
    instead of one for each document.
    """
    column, profile = encounters.c, patient_profiles.c
    documents = _released_as_json() if dialect == "postgresql" else null()
    return (
        select(
            column.id,
            column.organization_id,
            column.created_at,
            column.updated_at,
            column.state,
            column.transcribe_mode,
            column.created_time_local,
            case((column.created_time_local.is_(None), _first_start())).label("first_started_at"),
            column.key_id,
            object_keys.c.wrapped,
            object_keys.c.master,
            case((_KEYS.c.wrapped.is_(None), column.sealed)).label("sealed"),  # only where no profile goes before it
            profile.id.label("profile_id"),
            profile.key_id.label("profile_key_id"),
            _KEYS.c.wrapped.label("profile_wrapped"),
            _KEYS.c.master.label("profile_master"),
            profile.sealed.label("profile_sealed"),
            documents.label("documents"),
        )
        .select_from(encounters)
        .join(object_keys, object_keys.c.id == column.key_id)
        .outerjoin(
            patient_profiles,
            (profile.id == column.patient_profile_id) & (profile.organization_id == column.organization_id),
        )
        .outerjoin(_KEYS, _KEYS.c.id == profile.key_id)
    )


def _released_as_json() -> Any:
    """Return what PostgreSQL makes of an encounter's released documents: an array of :data:`_Released`."""
    column = released.c
    document = func.json_build_array(
        column.id,
        column.kind,
        column.slot,
        func.coalesce(column.updated_at, column.released_at),
        column.audio_duration,
        func.encode(column.sealed, literal_column("'hex'")),
    )
    return (
        select(cast(func.json_agg(aggregate_order_by(document, column.created_at, column.id)), Text))
        .where(column.organization_id == encounters.c.organization_id, column.encounter_id == encounters.c.id)
        .correlate(encounters)
        .scalar_subquery()
    )


def _page(dialect: str, *, newest_first: bool) -> Select[Any]:
    """Return the query of one page: its ids by the index alone, then the rows of these."""

    def ordered(column: Any) -> tuple[Any, Any]:
        return (column.created_at.desc(), column.id.desc()) if newest_first else (column.created_at, column.id)

    ids = (
        select(encounters.c.id)
        .where(*_SHOWN, *_BETWEEN)
        .order_by(*ordered(encounters.c))
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
        .subquery("page")
    )
    return _records(dialect).where(encounters.c.id.in_(select(ids.c.id))).order_by(*ordered(encounters.c))


# Made once: to put a statement together takes longer than to execute it.
_DIALECTS: Final = ("postgresql", "sqlite")
_NEWEST_FIRST: Final = {dialect: _page(dialect, newest_first=True) for dialect in _DIALECTS}
_OLDEST_FIRST: Final = {dialect: _page(dialect, newest_first=False) for dialect in _DIALECTS}
_ONE: Final = {
    dialect: _records(dialect).where(*_SHOWN, encounters.c.id == bindparam("encounter")) for dialect in _DIALECTS
}
_DOCUMENTS: Final = (
    select(
        released.c.encounter_id,
        released.c.id,
        released.c.kind,
        released.c.slot,
        func.coalesce(released.c.updated_at, released.c.released_at, type_=Time()),
        released.c.audio_duration,
        released.c.sealed,
    )
    .where(
        released.c.organization_id == bindparam("organization"),
        released.c.encounter_id.in_(bindparam("encounters", expanding=True)),
    )
    .order_by(released.c.created_at, released.c.id)
)
_STANDING: Final = (
    select(
        encounters.c.organization_id.label("encounter_organization"),
        encounters.c.state.label("encounter_state"),
        encounters.c.purpose,
        encounters.c.transcribe_mode,
        encounters.c.key_id,
        object_keys.c.wrapped,
        object_keys.c.master,
        released,
    )
    .select_from(encounters)
    .join(object_keys, object_keys.c.id == encounters.c.key_id)
    .outerjoin(
        released,
        (released.c.organization_id == encounters.c.organization_id)
        & (released.c.encounter_id == encounters.c.id)
        & (released.c.id == bindparam("document")),
    )
    .where(encounters.c.id == bindparam("encounter"))
)
