"""The arrow from a person's correction of a transcript to what rests on it: a new version, stale notes, the release."""

from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.service import EncounterService
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, NotFoundError
from osler.kernel.transactions import Database
from osler.notes.records import NoteRecordService
from osler.release.service import ReleaseService
from osler.speech.correction import Correction, corrected
from osler.speech.model import TranscriptVersion
from osler.speech.records import TranscriptService


class TranscriptEditing:
    """Takes corrections in one transaction; what cannot be taken whole changes nothing."""

    def __init__(
        self,
        *,
        database: Database,
        encounters: EncounterService,
        transcripts: TranscriptService,
        notes: NoteRecordService,
        release: ReleaseService,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._encounters = encounters
        self._transcripts = transcripts
        self._notes = notes
        self._release = release
        self._audit = audit
        self._clock = clock

    async def correct(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        correction: Correction,
        *,
        user_id: str,
        version: int | None = None,
    ) -> TranscriptVersion:
        """Store the transcript in use with these corrections as the newest version, by its author ``user_id``.

        Former versions stay. Notes and documents that rest on one, and are not signed, become stale; a transcript that
        outsiders can read is replaced for them too. A correction that changes nothing is no new version.

        ``version``: the one that the corrections are of. Raises NotFoundError (also: no transcript), ErasedError,
        ConflictError (another version is in use by now, or the first one is still being made), InvalidFieldError.
        """
        await self._encounters.get(organization_id, encounter_id, user_id=user_id)
        async with self._database.write() as transaction:
            encounter = await self._encounters.content_allowed(transaction, organization_id, encounter_id)
            standing = await self._transcripts.in_use(transaction, organization_id, encounter_id)
            if standing is None:
                if await self._transcripts.awaits_transcript(transaction, organization_id, encounter_id):
                    raise ConflictError("The transcript is still being made; correct it when it is there.")
                raise NotFoundError("There is no transcript to correct.", field="transcript")
            if version is not None and version != standing.version:
                raise ConflictError("The transcript has changed since that version; read it again, then correct it.")
            transcript = corrected(standing.transcript, correction)
            if transcript is standing.transcript:
                return standing
            stored = await self._transcripts.store_correction(
                transaction, standing, transcript, author_id=user_id, at=self._clock.now()
            )
            await self._notes.transcript_settled(transaction, encounter, None)
            await self._release.settle(transaction, encounter)
            await self._release.transcript_corrected(transaction, actor, stored)
            event = AuditEvent(
                organization_id=organization_id,
                actor=actor,
                action="transcript.corrected",
                at=stored.created_at,
                subject={"encounter": encounter_id, "transcript": stored.id},
                detail={"former": standing.id},
            )
            await self._audit.append(transaction, [event])
        return stored
