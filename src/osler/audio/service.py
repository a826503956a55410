"""The audio room's service: takes recordings and segments, and acknowledges nothing that is not durable."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from osler.audio.assembly import audio_content, missing_indexes, transcription_id
from osler.audio.model import AudioRecording, RecordingKind, RecordingState, Segment
from osler.audio.ports import RecordingRepository
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.model import Encounter, EncounterState
from osler.encounters.ports import EncounterRepository
from osler.kernel.blobs import BlobVault, StoredBlob
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, ErasedError, InputError, InvalidFieldError, NotFoundError, StorageError
from osler.kernel.ids import derived_id, new_id
from osler.kernel.jobs import Job, JobKind, JobQueue
from osler.kernel.transactions import Database, Transaction

MAX_BYTES: Final = 2 * 1024**3
"""Bytes of one upload or segment at most: 3 hours of 16-bit stereo at 48 kHz are 2.07 GB."""

MAX_INDEX: Final = 99_999
"""Highest index of a segment: more than eight hours in pieces of 300 ms. Gaps are named one by one."""

LONGEST_ACCESS: Final = timedelta(days=7)
"""How long a signed URL is good at most, as of a bucket (AWS Signature Version 4)."""


@dataclass(frozen=True, slots=True)
class RecordingTimes:
    """When a recording began and ended, in the client's words."""

    started_at: datetime | None = None
    ended_at: datetime | None = None


class AudioGate(Protocol):
    """What the encounters room decides: whether audio may be stored now."""

    async def audio_allowed(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Encounter:
        """Return the encounter, locked. Raises ConsentRequiredError, ErasedError, NotFoundError."""
        ...


@dataclass(frozen=True, slots=True)
class _Incoming:
    """A segment on its way in: the bytes are in the vault, the row is to be written."""

    encounter_id: str
    recording_id: str
    index: int
    blob: StoredBlob


class AudioService:
    """Takes audio in: consent, durable bytes, proof that they are audio, and only then rows, work and acknowledgement.

    The bytes go sealed into the vault while no transaction is open. If no row comes to refer to them they are removed
    at once, or later by the sweep of orphans if the process dies before.
    """

    def __init__(
        self,
        *,
        database: Database,
        recordings: RecordingRepository,
        encounters: EncounterRepository,
        gate: AudioGate,
        vault: BlobVault,
        queue: JobQueue,
        audit: AuditTrail,
        clock: Clock,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._database = database
        self._recordings = recordings
        self._encounters = encounters
        self._gate = gate
        self._vault = vault
        self._queue = queue
        self._audit = audit
        self._clock = clock
        self._max_bytes = max_bytes

    async def upload(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        chunks: AsyncIterator[bytes],
        *,
        media_type: str | None = None,
        times: Callable[[], RecordingTimes] = RecordingTimes,
    ) -> tuple[AudioRecording, Segment]:
        """Store a whole recording and have it transcribed. A missing end is the start plus the length.

        ``times`` is asked once all bytes are in, as a form may say more behind its file. ``media_type`` is the client's
        word; what the content says goes before it.
        Raises NotFoundError, ConsentRequiredError, ErasedError, NotAudioError (also for video), EmptyAudioError,
        InvalidFieldError (too large; ``ended_at`` before the start), StorageError, and what ``chunks`` and ``times``
        raise. After an error nothing of the upload is kept.
        """
        await self._ask_first(organization_id, encounter_id)
        incoming = _Incoming(encounter_id, new_id(), 0, await self._store(organization_id, chunks))
        now = self._clock.now()
        segment, found_type = await self._checked(organization_id, incoming, now)
        try:
            said = _whole_times(times(), segment.seconds)
        except BaseException:
            await self._remove(incoming.blob)
            raise
        try:
            async with self._database.write() as transaction:
                encounter = await self._gate.audio_allowed(transaction, organization_id, encounter_id)
                recording = AudioRecording(
                    id=incoming.recording_id,
                    organization_id=organization_id,
                    encounter_id=encounter_id,
                    kind=RecordingKind.USER_UPLOADED,
                    index=await self._next_index(transaction, encounter),
                    created_at=now,
                    state=RecordingState.FINISHED,
                    media_type=found_type or media_type,
                    started_at=said.started_at,
                    ended_at=said.ended_at,
                    finished_at=now,
                    duration=segment.seconds,
                )
                await self._recordings.add(transaction, recording)
                await self._recordings.add_segment(transaction, segment)
                await self._begin(transaction, encounter, recording, [segment])
                await self._trace(transaction, actor, recording, "recording.uploaded")
        except InputError:
            # Rolled back for certain. After any other error the commit may have come about: the sweep will see.
            await self._remove(incoming.blob)
            raise
        return recording, segment

    async def start_recording(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        kind: RecordingKind = RecordingKind.LIVE,
        *,
        media_type: str | None = None,
    ) -> AudioRecording:
        """Open a recording that segments are added to; ``media_type``: of what all of them are, if that is known.

        Raises NotFoundError, ConsentRequiredError, ErasedError.
        """
        async with self._database.write() as transaction:
            encounter = await self._gate.audio_allowed(transaction, organization_id, encounter_id)
            recording = AudioRecording(
                id=new_id(),
                organization_id=organization_id,
                encounter_id=encounter_id,
                kind=kind,
                index=await self._next_index(transaction, encounter),
                created_at=self._clock.now(),
                media_type=media_type,
            )
            await self._recordings.add(transaction, recording)
            await self._reopen(transaction, encounter)
            await self._trace(transaction, actor, recording, "recording.started")
        return recording

    async def add_segment(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        recording_id: str,
        index: int | Callable[[], int],
        chunks: AsyncIterator[bytes],
    ) -> tuple[Segment, bool]:
        """Store a segment; returns it, and False if the same bytes stood there already.

        Segments come in any order: each a file of its own, or slices of one WebM stream of which only the first has a
        header. After ``finish`` one that fills a gap is taken, and the transcript made anew. ``index`` may be asked for
        once all bytes are in, as a form may name it behind its file.
        Raises ConflictError (other bytes stand at that index; finished, and no gap there), NotFoundError,
        ConsentRequiredError, ErasedError, NotAudioError, EmptyAudioError, InvalidFieldError (too large; ``index``),
        StorageError, and what ``chunks`` and ``index`` raise.
        """
        await self._ask_first(
            organization_id, encounter_id, recording_id, _checked_index(index) if isinstance(index, int) else None
        )
        blob = await self._store(organization_id, chunks)
        try:
            index = _checked_index(index if isinstance(index, int) else index())
            async with self._database.read() as transaction:
                there = await self._recordings.segments(transaction, organization_id, recording_id)
        except BaseException:
            await self._remove(blob)
            raise
        standing = next((segment for segment in there if segment.index == index), None)
        if standing is not None:
            return await self._same(standing, blob), False
        incoming = _Incoming(encounter_id, recording_id, index, blob)
        segment, _ = await self._checked(organization_id, incoming, self._clock.now(), there)
        try:
            async with self._database.write() as transaction:
                encounter = await self._gate.audio_allowed(transaction, organization_id, encounter_id)
                recording = await self._of_encounter(transaction, organization_id, encounter_id, recording_id)
                standing = await self._place(transaction, recording, index)
                if standing is None:
                    await self._recordings.add_segment(transaction, segment)
                    await self._to_be_heard(transaction, encounter, recording, segment)
                    await self._trace(transaction, actor, recording, "segment.received", segment)
        except InputError:
            await self._remove(blob)
            raise
        return (segment, True) if standing is None else (await self._same(standing, blob), False)

    async def finish(
        self, actor: Actor, organization_id: str, encounter_id: str, recording_id: str
    ) -> tuple[AudioRecording, tuple[int, ...]]:
        """Close a recording and have all of it transcribed; returns it and the indexes missing below its highest one.

        A second time changes nothing. Raises NotFoundError, ErasedError.
        """
        async with self._database.write() as transaction:
            encounter = await self._encounters.lock(transaction, organization_id, encounter_id)
            if encounter.state is EncounterState.ERASED:
                raise ErasedError("This encounter was erased for good.")
            recording = await self._of_encounter(transaction, organization_id, encounter_id, recording_id)
            segments = await self._recordings.segments(transaction, organization_id, recording_id)
            if recording.state is RecordingState.OPEN:
                lengths = [segment.seconds for segment in segments]
                recording = replace(
                    recording,
                    finished_at=self._clock.now(),
                    duration=None if None in lengths else sum(length or 0.0 for length in lengths),
                )
                recording = await self._begin(transaction, encounter, recording, segments)
                await self._trace(transaction, actor, recording, "recording.finished")
        return recording, missing_indexes([segment.index for segment in segments])

    async def access_url(self, actor: Actor, recording: AudioRecording, segment: Segment, lifetime: timedelta) -> str:
        """Return a URL that serves a segment's bytes to whoever holds it, and leave a trace of who asked for it.

        Raises InvalidFieldError (``expiry``: not between a second and :data:`LONGEST_ACCESS`), ErasedError.
        """
        if not timedelta(seconds=1) <= lifetime <= LONGEST_ACCESS:
            raise InvalidFieldError("expiry", "expiry must be between 1 and 604800 seconds (seven days).")
        if segment.blob is None:
            raise ErasedError("The audio of this recording was erased for good.")
        url = await self._vault.signed_url(
            segment.blob,
            media_type=recording.media_type or "application/octet-stream",
            expires_at=self._clock.now() + lifetime,
        )
        async with self._database.write() as transaction:
            await self._trace(transaction, actor, recording, "recording.url_signed", segment)
        return url

    async def recordings(self, organization_id: str, encounter_id: str) -> Sequence[AudioRecording]:
        """Return the encounter's recordings by index; none for an encounter that is not there."""
        async with self._database.read() as transaction:
            return await self._recordings.of_encounter(transaction, organization_id, encounter_id)

    async def segments(
        self, organization_id: str, encounter_id: str, recording_id: str
    ) -> tuple[AudioRecording, Sequence[Segment]]:
        """Return a recording with its segments by index. Raises NotFoundError."""
        async with self._database.read() as transaction:
            recording = await self._recordings.get(transaction, organization_id, recording_id)
            if recording.encounter_id != encounter_id:
                raise NotFoundError("There is no such recording.")
            return recording, await self._recordings.segments(transaction, organization_id, recording_id)

    async def _ask_first(
        self, organization_id: str, encounter_id: str, recording_id: str | None = None, index: int | None = None
    ) -> None:
        """Make sure that bytes are worth taking: it is asked again when they are in. Raises as the caller says."""

        async def ask() -> None:
            async with self._database.write() as transaction:
                await self._gate.audio_allowed(transaction, organization_id, encounter_id)
                if recording_id is not None:
                    recording = await self._of_encounter(transaction, organization_id, encounter_id, recording_id)
                    if index is not None:
                        await self._place(transaction, recording, index)

        # In a task of its own, so that what takes part in the caller's transactions has no part in this one: it locks
        # and changes nothing, and a request that is cut off behind it has had no effect.
        await asyncio.create_task(ask())

    async def _store(self, organization_id: str, chunks: AsyncIterator[bytes]) -> StoredBlob:
        return await self._vault.store(organization_id, chunks, limit=self._max_bytes)

    async def _remove(self, blob: StoredBlob) -> None:
        """Remove bytes that nothing refers to; what cannot be removed now, the sweep of orphans finds."""
        with suppress(StorageError):
            await self._vault.delete([blob.id])

    async def _checked(
        self,
        organization_id: str,
        incoming: _Incoming,
        now: datetime,
        others: Sequence[Segment] | None = None,
    ) -> tuple[Segment, str | None]:
        """Return the segment with its length, and its media type, once its bytes are known to be audio.

        Else remove them and raise.
        """
        segment = Segment(
            id=new_id(),
            organization_id=organization_id,
            encounter_id=incoming.encounter_id,
            recording_id=incoming.recording_id,
            index=incoming.index,
            received_at=now,
            blob=incoming.blob,
        )
        try:
            content = await asyncio.to_thread(audio_content, segment, self._vault, others)
        except BaseException:
            # No row can refer to them yet.
            await self._remove(incoming.blob)
            raise
        return replace(segment, seconds=content.seconds), content.media_type

    async def _same(self, standing: Segment, blob: StoredBlob) -> Segment:
        """Remove bytes that came for a segment that stands already. Raises ConflictError if they are others."""
        await self._remove(blob)
        if standing.blob is None:
            raise ErasedError("The audio of this recording was erased for good.")
        if standing.blob.digest != blob.digest:
            raise ConflictError("Another segment stands at this index; a segment cannot be replaced.")
        return standing

    async def _place(self, transaction: Transaction, recording: AudioRecording, index: int) -> Segment | None:
        """Return the segment that stands at ``index``, None if one may be put there. Raises ConflictError."""
        standing = await self._recordings.segment(transaction, recording.organization_id, recording.id, index)
        if standing is None and recording.state is not RecordingState.OPEN:
            segments = await self._recordings.segments(transaction, recording.organization_id, recording.id)
            if index not in missing_indexes([segment.index for segment in segments]):
                raise ConflictError("The recording is finished and no segment is missing there; start another one.")
        return standing

    async def _to_be_heard(
        self, transaction: Transaction, encounter: Encounter, recording: AudioRecording, segment: Segment
    ) -> None:
        """Have a new segment transcribed: by itself while the recording goes on, else with the whole of it."""
        if recording.state is not RecordingState.OPEN:
            segments = await self._recordings.segments(transaction, recording.organization_id, recording.id)
            await self._begin(transaction, encounter, recording, segments)
            return
        await self._queue.enqueue(
            transaction,
            Job(
                id=derived_id("transcribe segment", segment.id),
                organization_id=recording.organization_id,
                kind=JobKind.TRANSCRIBE_SEGMENT,
                subject={"encounter": encounter.id, "recording": recording.id, "segment": segment.id},
                created_at=segment.received_at,
            ),
        )

    async def _begin(
        self,
        transaction: Transaction,
        encounter: Encounter,
        recording: AudioRecording,
        segments: Sequence[Segment],
    ) -> AudioRecording:
        """Have the whole of a recording transcribed: it is finished, and its encounter is not complete any more."""
        recording = replace(recording, state=RecordingState.FINISHED, failure=None)
        await self._recordings.save(transaction, recording)
        await self._reopen(transaction, encounter)
        await self._queue.enqueue(
            transaction,
            Job(
                id=transcription_id(recording.id, segments),
                organization_id=recording.organization_id,
                kind=JobKind.TRANSCRIBE_RECORDING,
                subject={"encounter": encounter.id, "recording": recording.id},
                created_at=self._clock.now(),
            ),
        )
        return recording

    async def _reopen(self, transaction: Transaction, encounter: Encounter) -> None:
        if encounter.state is EncounterState.COMPLETED:
            opened = replace(encounter, state=EncounterState.OPEN, updated_at=self._clock.now())
            await self._encounters.save(transaction, opened)

    async def _next_index(self, transaction: Transaction, encounter: Encounter) -> int:
        recordings = await self._recordings.of_encounter(transaction, encounter.organization_id, encounter.id)
        return max((recording.index for recording in recordings), default=-1) + 1

    async def _of_encounter(
        self, transaction: Transaction, organization_id: str, encounter_id: str, recording_id: str
    ) -> AudioRecording:
        """Return the encounter's recording, locked. Raises NotFoundError, ErasedError."""
        recording = await self._recordings.lock(transaction, organization_id, recording_id)
        if recording.encounter_id != encounter_id:
            raise NotFoundError("There is no such recording.")
        if recording.state is RecordingState.ERASED:
            raise ErasedError("The audio of this recording was erased for good.")
        return recording

    async def _trace(
        self,
        transaction: Transaction,
        actor: Actor,
        recording: AudioRecording,
        action: str,
        segment: Segment | None = None,
    ) -> None:
        subject = {"encounter": recording.encounter_id, "recording": recording.id}
        event = AuditEvent(
            organization_id=recording.organization_id,
            actor=actor,
            action=action,
            at=self._clock.now(),
            subject=subject if segment is None else {**subject, "segment": segment.id},
        )
        await self._audit.append(transaction, [event])


def _whole_times(said: RecordingTimes, seconds: float | None) -> RecordingTimes:
    """Return the times with an end if there can be one. Raises InvalidFieldError."""
    if said.started_at is None:
        return said
    if said.ended_at is None:
        if seconds is None:
            return said
        try:
            return replace(said, ended_at=said.started_at + timedelta(seconds=seconds))
        except OverflowError:
            raise InvalidFieldError("started_at", "started_at is too far in the future.") from None
    if said.ended_at < said.started_at:
        raise InvalidFieldError("ended_at", "ended_at must not be before the start.")
    return said


def _checked_index(index: int) -> int:
    if not 0 <= index <= MAX_INDEX:
        raise InvalidFieldError("index", f"index must be between 0 and {MAX_INDEX}.")
    return index
