"""The arrow from a person's correction of a transcript to what rests on it: a new version, stale notes, the release."""

from dataclasses import dataclass
from typing import Final

from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.service import EncounterService
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, NotFoundError, OslerError
from osler.kernel.transactions import Database
from osler.notes.checklist import ChecklistService, ReadItems
from osler.notes.records import NoteRecordService
from osler.release.service import ReleaseService
from osler.speech.correction import Correction, corrected
from osler.speech.model import TranscriptVersion
from osler.speech.records import TranscriptService

_MOST_TRIES: Final = 5
"""How often a correction is read ahead before it is stored without a checklist, as others were quicker each time."""


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What a transcript covers once version ``former`` is corrected; ``covered`` None: reading it failed."""

    former: str
    covered: ReadItems | None


class _OvertakenError(Exception):
    """Another version, ``standing``, came into use meanwhile."""

    def __init__(self, standing: TranscriptVersion) -> None:
        super().__init__()
        self.standing = standing


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
        checklists: ChecklistService | None = None,
    ) -> None:
        """Without ``checklists`` nothing is kept of what a visit covered."""
        self._checklists = checklists
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
        standing = await self._transcripts.current(organization_id, encounter_id) if self._checklists else None
        tries = 0
        while True:
            tries += 1
            ahead = await self._read_ahead(standing, correction, version)
            # Left by an error, as a transaction that commits nothing would tell whoever takes part that it took effect.
            try:
                return await self._store(
                    actor,
                    organization_id,
                    encounter_id,
                    correction,
                    user_id=user_id,
                    version=version,
                    ahead=ahead,
                    anyway=tries == _MOST_TRIES,
                )
            except _OvertakenError as overtaken:
                # Not read again: what overtook this one may still wait for the commit that it shares with others.
                standing = overtaken.standing

    async def _read_ahead(
        self, standing: TranscriptVersion | None, correction: Correction, version: int | None
    ) -> _Ahead | None:
        """Read what ``standing`` covers once it is corrected, before a transaction holds the encounter; None where
        nothing can be read. What is wrong with the correction is said when it is stored.
        """
        if self._checklists is None or standing is None or version not in (None, standing.version):
            return None
        try:
            transcript = corrected(standing.transcript, correction)
        except OslerError:
            return None
        same = transcript is standing.transcript
        return _Ahead(standing.id, None if same else await self._checklists.read(transcript))

    async def _store(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        correction: Correction,
        *,
        user_id: str,
        version: int | None,
        ahead: _Ahead | None,
        anyway: bool,
    ) -> TranscriptVersion:
        """Store the corrected transcript and all that follows.

        Raises _OvertakenError if another version came into use since ``ahead`` was read, unless it is to be stored
        ``anyway``.
        """
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
            overtaken = ahead is None or ahead.former != standing.id
            if self._checklists is not None and overtaken and not anyway:
                raise _OvertakenError(standing)
            stored = await self._transcripts.store_correction(
                transaction, standing, transcript, author_id=user_id, at=self._clock.now()
            )
            await self._notes.transcript_settled(transaction, encounter, None)
            await self._release.settle(transaction, encounter)
            await self._release.transcript_corrected(transaction, actor, standing, stored)
            if self._checklists is not None and ahead is not None and ahead.covered is not None and not overtaken:
                checklist = await self._checklists.store(transaction, stored, ahead.covered)
                await self._release.release_checklist(transaction, checklist)
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
