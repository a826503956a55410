"""Playing audio back: whose recording a signed URL serves, and a trace of each time that it was heard."""

from typing import Protocol

from osler.audio.model import Segment
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.kernel.clock import Clock
from osler.kernel.errors import ErasedError
from osler.kernel.transactions import Database, Transaction


class HeardRecordings(Protocol):
    """What playing back needs of the room's repository."""

    async def segment_of_blob(self, transaction: Transaction, blob_id: str) -> Segment | None:
        """Find whose audio a signed URL serves, in whatever organization; the URL's signature is the permission."""
        ...

    async def transcribed_seconds(self, transaction: Transaction) -> float:
        """Return how many seconds of audio have a final transcript, of all organizations together."""
        ...


class PlaybackService:
    """Finds audio by the place in the blob store that a signed URL names."""

    def __init__(self, *, database: Database, recordings: HeardRecordings, audit: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._recordings = recordings
        self._audit = audit
        self._clock = clock

    async def segment(self, blob_id: str) -> Segment:
        """Return the segment whose audio is stored there; call it only with an id whose signature was checked.

        Raises ErasedError: what was signed was stored once, so what is not there any more was erased.
        """
        async with self._database.read() as transaction:
            segment = await self._recordings.segment_of_blob(transaction, blob_id)
        if segment is None or segment.blob is None:
            raise ErasedError("This recording was erased for good.")
        return segment

    async def record_access(self, actor: Actor, segment: Segment, *, start: int, end: int, method: str) -> None:
        """Leave a trace that bytes ``start:end`` are handed out. Durable on return."""
        await self._audit.record(
            AuditEvent(
                organization_id=segment.organization_id,
                actor=actor,
                action="recording.read",
                at=self._clock.now(),
                subject={
                    "encounter": segment.encounter_id,
                    "recording": segment.recording_id,
                    "segment": segment.id,
                },
                detail={"bytes": f"{start}-{end}", "method": method},
            )
        )

    async def transcribed_seconds(self) -> float:
        """Return how many seconds of audio have a final transcript, for metrics."""
        async with self._database.read() as transaction:
            return await self._recordings.transcribed_seconds(transaction)
