"""Transcripts as rows: the JSON of each is sealed under a key of its own."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select
from sqlalchemy.exc import IntegrityError

from osler.audio.model import RecordingKind
from osler.kernel.errors import ConflictError, ErasedError, NotFoundError
from osler.kernel.transactions import Transaction
from osler.speech.model import SegmentTranscript, Transcript, TranscriptVersion
from osler.storage.database import connection_of
from osler.storage.repositories.sealed import SealedRows, destroy_keys, with_key
from osler.storage.tables.audio import recordings
from osler.storage.tables.speech import segment_transcripts, transcripts


class SqlTranscriptRepository:
    """Versions of transcripts, and the texts of single segments. Erased ones are not found any more."""

    def __init__(self, rows: SealedRows) -> None:
        self._rows = rows

    async def add(self, transaction: Transaction, version: TranscriptVersion) -> None:
        """Raises ConflictError if the encounter has that version already."""
        content = version.transcript.to_json()
        sealed = await self._rows.add(transaction, version.organization_id, transcripts, version.id, content)
        values = {
            "id": version.id,
            "organization_id": version.organization_id,
            "encounter_id": version.encounter_id,
            "recording_id": version.recording_id,
            "version": version.version,
            "created_at": version.created_at,
            "author_id": version.author_id,
            **sealed,
        }
        try:
            await connection_of(transaction).execute(insert(transcripts).values(values))
        except IntegrityError:
            raise ConflictError("The encounter has that version of its transcript already; read it again.") from None

    async def current(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> TranscriptVersion | None:
        """Return the transcript in use, None before there is one or when it was erased: the highest version, but one of
        a backup only where there is no other."""
        kind = (
            select(recordings.c.kind)
            .where(
                recordings.c.organization_id == transcripts.c.organization_id,
                recordings.c.id == transcripts.c.recording_id,
            )
            .scalar_subquery()
        )
        query = _of_organization(organization_id).where(transcripts.c.encounter_id == encounter_id)
        backup = RecordingKind.BACKUP.value
        row = await self._highest_row(transaction, query.add_columns(kind.label("kind")))
        if row is not None and row.kind == backup:
            row = await self._highest_row(transaction, query.where(kind != backup)) or row
        return None if row is None else self._version(row)

    async def get(self, transaction: Transaction, organization_id: str, transcript_id: str) -> TranscriptVersion:
        """Raises NotFoundError, ErasedError."""
        query = _of_organization(organization_id).where(transcripts.c.id == transcript_id)
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such transcript.")
        version = self._version(row)
        if version is None:
            raise ErasedError("This transcript was erased for good.")
        return version

    async def exists(self, transaction: Transaction, organization_id: str, transcript_id: str) -> bool:
        """Say whether there is a row of that id, erased or not."""
        query = select(transcripts.c.id).where(
            transcripts.c.organization_id == organization_id, transcripts.c.id == transcript_id
        )
        return (await connection_of(transaction).execute(query)).first() is not None

    async def next_version(self, transaction: Transaction, organization_id: str, encounter_id: str) -> int:
        """Return the version that the encounter's next transcript gets, counted from 1, erased ones included."""
        query = (
            select(transcripts.c.version)
            .where(transcripts.c.organization_id == organization_id, transcripts.c.encounter_id == encounter_id)
            .order_by(transcripts.c.version.desc())
            .limit(1)
        )
        return ((await connection_of(transaction).execute(query)).scalar_one_or_none() or 0) + 1

    async def of_recording(
        self, transaction: Transaction, organization_id: str, recording_id: str
    ) -> TranscriptVersion | None:
        """Return the recording's highest version."""
        return await self._highest(
            transaction, _of_organization(organization_id).where(transcripts.c.recording_id == recording_id)
        )

    async def save_segment(self, transaction: Transaction, heard: SegmentTranscript) -> None:
        """Write or replace the text of a segment. A former text's key goes with it."""
        connection = connection_of(transaction)
        former = (
            await connection.execute(
                delete(segment_transcripts)
                .where(
                    segment_transcripts.c.segment_id == heard.segment_id,
                    segment_transcripts.c.organization_id == heard.organization_id,
                )
                .returning(segment_transcripts.c.key_id)
            )
        ).scalar_one_or_none()
        if former is not None:
            await destroy_keys(connection, [former], heard.created_at)
        content = heard.transcript.to_json()
        sealed = await self._rows.add(
            transaction, heard.organization_id, segment_transcripts, heard.segment_id, content
        )
        values = {
            "segment_id": heard.segment_id,
            "organization_id": heard.organization_id,
            "encounter_id": heard.encounter_id,
            "recording_id": heard.recording_id,
            "index": heard.index,
            "created_at": heard.created_at,
            **sealed,
        }
        await connection.execute(insert(segment_transcripts).values(values))

    async def segments(
        self, transaction: Transaction, organization_id: str, recording_id: str
    ) -> Sequence[SegmentTranscript]:
        """Return the texts of the segments so far, by index."""
        query = (
            with_key(segment_transcripts)
            .where(
                segment_transcripts.c.organization_id == organization_id,
                segment_transcripts.c.recording_id == recording_id,
            )
            .order_by(segment_transcripts.c.index)
        )
        found = [self._segment(row) for row in await connection_of(transaction).execute(query)]
        return [heard for heard in found if heard is not None]

    async def of_segments(
        self, transaction: Transaction, organization_id: str, segment_ids: Sequence[str]
    ) -> Sequence[SegmentTranscript]:
        """Return the texts of these segments, by recording and index; those that there are."""
        query = (
            with_key(segment_transcripts)
            .where(
                segment_transcripts.c.organization_id == organization_id,
                segment_transcripts.c.segment_id.in_(segment_ids),
            )
            .order_by(segment_transcripts.c.recording_id, segment_transcripts.c.index)
        )
        found = [self._segment(row) for row in await connection_of(transaction).execute(query)]
        return [heard for heard in found if heard is not None]

    async def _highest(self, transaction: Transaction, query: Select[Any]) -> TranscriptVersion | None:
        row = await self._highest_row(transaction, query)
        return None if row is None else self._version(row)

    async def _highest_row(self, transaction: Transaction, query: Select[Any]) -> Row[Any] | None:
        query = query.order_by(transcripts.c.version.desc()).limit(1)
        row: Row[Any] | None = (await connection_of(transaction).execute(query)).one_or_none()
        return row

    def _version(self, row: Row[Any]) -> TranscriptVersion | None:
        content = self._rows.open(row, row.organization_id, transcripts, row.id)
        if content is None:
            return None
        return TranscriptVersion(
            id=row.id,
            organization_id=row.organization_id,
            encounter_id=row.encounter_id,
            recording_id=row.recording_id,
            version=row.version,
            created_at=row.created_at,
            transcript=Transcript.from_json(content),
            author_id=row.author_id,
        )

    def _segment(self, row: Row[Any]) -> SegmentTranscript | None:
        content = self._rows.open(row, row.organization_id, segment_transcripts, row.segment_id)
        if content is None:
            return None
        return SegmentTranscript(
            segment_id=row.segment_id,
            organization_id=row.organization_id,
            encounter_id=row.encounter_id,
            recording_id=row.recording_id,
            index=row._mapping["index"],
            created_at=row.created_at,
            transcript=Transcript.from_json(content),
        )


def _of_organization(organization_id: str) -> Select[Any]:
    return with_key(transcripts).where(transcripts.c.organization_id == organization_id)
