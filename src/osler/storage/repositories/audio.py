"""Recordings and segments as rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from osler.audio.model import AudioRecording, RecordingKind, RecordingState, Segment, SegmentStatus
from osler.kernel.blobs import ObjectKey, StoredBlob
from osler.kernel.errors import ConflictError, NotFoundError
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of
from osler.storage.repositories.sealed import SealedRows, blob_columns
from osler.storage.tables.audio import recordings, segments
from osler.storage.tables.sealing import object_keys


class SqlRecordingRepository:
    """Recordings and segments; a segment's blob key stands wrapped among the object keys."""

    def __init__(self, rows: SealedRows) -> None:
        self._rows = rows

    async def add(self, transaction: Transaction, recording: AudioRecording) -> None:
        """Write a new recording. Raises ConflictError if the encounter has one of that index."""
        values = {
            "id": recording.id,
            "organization_id": recording.organization_id,
            "encounter_id": recording.encounter_id,
            "kind": recording.kind.value,
            "index": recording.index,
            "created_at": recording.created_at,
            **_changeable(recording),
        }
        try:
            await connection_of(transaction).execute(insert(recordings).values(values))
        except IntegrityError:
            raise ConflictError("The encounter has such a recording already; read its recordings again.") from None

    async def get(self, transaction: Transaction, organization_id: str, recording_id: str) -> AudioRecording:
        """Raises NotFoundError."""
        return await self._one(transaction, _recording(organization_id, recording_id))

    async def lock(self, transaction: Transaction, organization_id: str, recording_id: str) -> AudioRecording:
        """As get, held against other writers until the transaction ends. Raises NotFoundError."""
        return await self._one(transaction, _recording(organization_id, recording_id).with_for_update())

    async def save(self, transaction: Transaction, recording: AudioRecording) -> None:
        """Write what may change of a recording."""
        await connection_of(transaction).execute(
            update(recordings)
            .where(recordings.c.organization_id == recording.organization_id, recordings.c.id == recording.id)
            .values(_changeable(recording))
        )

    async def of_encounter(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> Sequence[AudioRecording]:
        """Return the encounter's recordings by index."""
        query = (
            select(recordings)
            .where(recordings.c.organization_id == organization_id, recordings.c.encounter_id == encounter_id)
            .order_by(recordings.c.index)
        )
        return [_to_recording(row) for row in await connection_of(transaction).execute(query)]

    async def of_encounters(
        self, transaction: Transaction, organization_id: str, encounter_ids: Sequence[str]
    ) -> Sequence[AudioRecording]:
        """Return the recordings of many encounters by index."""
        query = (
            select(recordings)
            .where(recordings.c.organization_id == organization_id, recordings.c.encounter_id.in_(encounter_ids))
            .order_by(recordings.c.index)
        )
        return [_to_recording(row) for row in await connection_of(transaction).execute(query)]

    async def add_segment(self, transaction: Transaction, segment: Segment) -> None:
        """Write a new segment and its blob's key. Raises ConflictError if the recording has one of that index."""
        if segment.blob is None:
            raise ValueError("a new segment has a blob")
        if segment.blob.key is not None:
            await self._rows.add_key(transaction, segment.organization_id, segment.blob.key)
        values = {
            "id": segment.id,
            "organization_id": segment.organization_id,
            "encounter_id": segment.encounter_id,
            "recording_id": segment.recording_id,
            "index": segment.index,
            "received_at": segment.received_at,
            "status": segment.status.value,
            "seconds": segment.seconds,
            "failure": segment.failure,
            **blob_columns(segment.blob),
        }
        try:
            await connection_of(transaction).execute(insert(segments).values(values))
        except IntegrityError:
            raise ConflictError("The recording has a segment of that index already.") from None

    async def segment(
        self, transaction: Transaction, organization_id: str, recording_id: str, index: int
    ) -> Segment | None:
        """Return the recording's segment of that index, None if there is none."""
        query = _segments().where(
            segments.c.organization_id == organization_id,
            segments.c.recording_id == recording_id,
            segments.c.index == index,
        )
        row = (await connection_of(transaction).execute(query)).one_or_none()
        return None if row is None else _to_segment(row)

    async def get_segment(self, transaction: Transaction, organization_id: str, segment_id: str) -> Segment:
        """Raises NotFoundError."""
        query = _segments().where(segments.c.organization_id == organization_id, segments.c.id == segment_id)
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such segment.")
        return _to_segment(row)

    async def segments(self, transaction: Transaction, organization_id: str, recording_id: str) -> Sequence[Segment]:
        """Return the recording's segments by index."""
        query = (
            _segments()
            .where(segments.c.organization_id == organization_id, segments.c.recording_id == recording_id)
            .order_by(segments.c.index)
        )
        return [_to_segment(row) for row in await connection_of(transaction).execute(query)]

    async def settled_segments(
        self, transaction: Transaction, organization_id: str, segment_ids: Sequence[str]
    ) -> Mapping[str, SegmentStatus]:
        """Return which of these segments are ready or failed."""
        query = select(segments.c.id, segments.c.status).where(
            segments.c.organization_id == organization_id,
            segments.c.id.in_(segment_ids),
            segments.c.status != SegmentStatus.PENDING.value,
        )
        return {row.id: SegmentStatus(row.status) for row in await connection_of(transaction).execute(query)}

    async def ended(
        self, transaction: Transaction, organization_id: str, recording_ids: Sequence[str]
    ) -> Sequence[AudioRecording]:
        """Return which of these recordings are complete, failed or erased."""
        going_on = (RecordingState.OPEN.value, RecordingState.FINISHED.value)
        query = select(recordings).where(
            recordings.c.organization_id == organization_id,
            recordings.c.id.in_(recording_ids),
            recordings.c.state.not_in(going_on),
        )
        return [_to_recording(row) for row in await connection_of(transaction).execute(query)]

    async def set_segment_status(
        self,
        transaction: Transaction,
        organization_id: str,
        segment_id: str,
        status: SegmentStatus,
        *,
        seconds: float | None = None,
        failure: str | None = None,
    ) -> None:
        """Write a segment's status; ``seconds`` None leaves its length as it stands."""
        values: dict[str, Any] = {"status": status.value, "failure": failure}
        if seconds is not None:
            values["seconds"] = seconds
        await connection_of(transaction).execute(
            update(segments)
            .where(segments.c.organization_id == organization_id, segments.c.id == segment_id)
            .values(values)
        )

    async def segment_of_blob(self, transaction: Transaction, blob_id: str) -> Segment | None:
        """Find whose audio a signed URL serves, in whatever organization; the URL's signature is the permission."""
        row = (await connection_of(transaction).execute(_segments().where(segments.c.blob_id == blob_id))).first()
        return None if row is None else _to_segment(row)

    async def recording_anywhere(
        self, transaction: Transaction, recording_id: str
    ) -> tuple[AudioRecording, Sequence[Segment]] | None:
        """Find a recording with its segments by index, in whatever organization, for a signed URL."""
        query = select(recordings).where(recordings.c.id == recording_id)
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            return None
        return _to_recording(row), await self.segments(transaction, row.organization_id, recording_id)

    async def transcribed_seconds(self, transaction: Transaction) -> float:
        """Return how many seconds of audio have a final transcript, of all organizations together."""
        query = select(func.coalesce(func.sum(recordings.c.duration), 0.0)).where(
            recordings.c.state == RecordingState.COMPLETE.value
        )
        return float((await connection_of(transaction).execute(query)).scalar_one())

    async def _one(self, transaction: Transaction, query: Select[Any]) -> AudioRecording:
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such recording.")
        return _to_recording(row)


def _recording(organization_id: str, recording_id: str) -> Select[Any]:
    return select(recordings).where(recordings.c.organization_id == organization_id, recordings.c.id == recording_id)


def _segments() -> Select[Any]:
    """Select segments with the wrapped keys of their blobs."""
    keys = and_(object_keys.c.id == segments.c.blob_key_id, object_keys.c.wrapped.is_not(None))
    return select(segments, object_keys.c.wrapped, object_keys.c.master).join(object_keys, keys, isouter=True)


def _changeable(recording: AudioRecording) -> Mapping[str, Any]:
    return {
        "state": recording.state.value,
        "media_type": recording.media_type,
        "started_at": recording.started_at,
        "ended_at": recording.ended_at,
        "finished_at": recording.finished_at,
        "duration": recording.duration,
        "failure": recording.failure,
    }


def _to_recording(row: Row[Any]) -> AudioRecording:
    return AudioRecording(
        id=row.id,
        organization_id=row.organization_id,
        encounter_id=row.encounter_id,
        kind=RecordingKind(row.kind),
        index=row._mapping["index"],  # a row has a method of that name
        created_at=row.created_at,
        state=RecordingState(row.state),
        media_type=row.media_type,
        started_at=row.started_at,
        ended_at=row.ended_at,
        finished_at=row.finished_at,
        duration=row.duration,
        failure=row.failure,
    )


def _to_segment(row: Row[Any]) -> Segment:
    return Segment(
        id=row.id,
        organization_id=row.organization_id,
        encounter_id=row.encounter_id,
        recording_id=row.recording_id,
        index=row._mapping["index"],
        received_at=row.received_at,
        blob=_blob(row),
        status=SegmentStatus(row.status),
        seconds=row.seconds,
        failure=row.failure,
    )


def _blob(row: Row[Any]) -> StoredBlob | None:
    """Return a segment's blob; None if it, or its key, was destroyed."""
    if row.blob_id is None or (row.blob_key_id is not None and row.wrapped is None):
        return None
    key = ObjectKey(row.blob_key_id, row.wrapped, row.master) if row.blob_key_id is not None else None
    return StoredBlob(row.blob_id, row.blob_size, row.blob_digest, key)
