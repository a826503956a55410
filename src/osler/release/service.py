"""The release room's service: what becomes readable from outside, when, and the sign-off that may open it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from osler.access.model import ReleasePolicy
from osler.access.ports import OrganizationRepository
from osler.audit.model import SYSTEM, Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.coding.model import CodeSet, CodingStatus
from osler.coding.ports import CodeSetRepository
from osler.encounters.model import Encounter, EncounterState
from osler.encounters.ports import EncounterRepository
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, ErasedError
from osler.kernel.ids import derived_id
from osler.kernel.transactions import Database, Transaction
from osler.notes.checklist import ChecklistRepository, EncounterChecklist
from osler.notes.model import Document, NoteVersion, TextStatus
from osler.notes.ports import DocumentRepository, NoteRepository
from osler.release.model import BILLING, CHECKLIST, DOCUMENT, NOTE, TRANSCRIPT, ReleasedDocument, ReleasedKind
from osler.release.ports import ReleaseRepository
from osler.speech.model import TranscriptVersion
from osler.speech.ports import TranscriptRepository
from osler.speech.records import TranscriptService


class _Releasable(Protocol):
    """A version of something of an encounter."""

    @property
    def id(self) -> str: ...

    @property
    def organization_id(self) -> str: ...

    @property
    def encounter_id(self) -> str: ...

    @property
    def created_at(self) -> datetime: ...


class ReleaseService:
    """Makes complete documents readable: at once if the organization releases automatically, else at sign-off.

    What takes a transaction is called by the pipeline, which holds the encounter.
    """

    def __init__(
        self,
        *,
        database: Database,
        releases: ReleaseRepository,
        organizations: OrganizationRepository,
        encounters: EncounterRepository,
        transcripts: TranscriptRepository,
        hearing: TranscriptService,
        notes: NoteRepository,
        documents: DocumentRepository,
        audit: AuditTrail,
        clock: Clock,
        codes: CodeSetRepository | None = None,
        checklists: ChecklistRepository | None = None,
    ) -> None:
        """Without ``codes`` nothing is told of billing at sign-off, without ``checklists`` nothing of the checklist."""
        self._codes = codes
        self._checklists = checklists
        self._database = database
        self._releases = releases
        self._organizations = organizations
        self._encounters = encounters
        self._transcripts = transcripts
        self._hearing = hearing
        self._notes = notes
        self._documents = documents
        self._audit = audit
        self._clock = clock

    async def release_transcript(self, transaction: Transaction, transcript: TranscriptVersion) -> None:
        """Show the transcript that is now in use, if the organization releases automatically."""
        if await self._automatic(transaction, transcript.organization_id):
            await self._show_transcript(transaction, SYSTEM, transcript)

    async def transcript_corrected(
        self, transaction: Transaction, actor: Actor, former: TranscriptVersion, transcript: TranscriptVersion
    ) -> None:
        """Show a corrected transcript in place of the ``former`` if that is readable; else as
        :meth:`release_transcript`: the correction of one that waits for a sign-off waits too.
        """
        shown = await self._releases.of_encounters(transaction, transcript.organization_id, [transcript.encounter_id])
        if any(document.slot == TRANSCRIPT and document.source_id == former.id for document in shown):
            await self._show_transcript(transaction, actor, transcript)
        else:
            await self.release_transcript(transaction, transcript)

    async def release_note(self, transaction: Transaction, note: NoteVersion) -> None:
        """Show a note that was just completed, if the organization releases automatically and no newer one is shown."""
        if await self._automatic(transaction, note.organization_id):
            newest = await self._newest_note(transaction, note.organization_id, note.encounter_id)
            if newest is not None:
                await self._show_note(transaction, SYSTEM, newest)

    async def release_document(self, transaction: Transaction, document: Document) -> None:
        """Show a document that was just completed, if the organization releases automatically."""
        if await self._automatic(transaction, document.organization_id):
            await self._show_document(transaction, SYSTEM, document)

    async def release_billing(self, transaction: Transaction, codes: CodeSet) -> None:
        """Show that a visit was coded, if the organization releases automatically: a summary, without the codes.

        Codes that come after the sign-off of the note that they rest on are shown as those that came before.
        """
        organization_id, encounter_id = codes.organization_id, codes.encounter_id
        shown = await self._releases.of_encounters(transaction, organization_id, [encounter_id])
        of_shown = any(each.slot == NOTE and each.source_id == codes.note_id for each in shown)
        if of_shown or await self._automatic(transaction, organization_id):
            await self._show_billing(transaction, SYSTEM, codes)

    async def release_checklist(self, transaction: Transaction, checklist: EncounterChecklist) -> None:
        """Show that a visit was gone through, where the transcript that it is of is shown: a summary, without items."""
        organization_id, encounter_id = checklist.organization_id, checklist.encounter_id
        shown = await self._releases.of_encounters(transaction, organization_id, [encounter_id])
        of_shown = any(each.slot == TRANSCRIPT and each.source_id == checklist.transcript_id for each in shown)
        if of_shown or await self._automatic(transaction, organization_id):
            await self._show_checklist(transaction, SYSTEM, checklist)

    async def sign_note(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        user_id: str,
        *,
        version: int | None = None,
        confirmed: bool = False,
    ) -> NoteVersion:
        """As :meth:`sign`, where there must be a note to sign; returns it."""
        async with self._database.write() as transaction:
            # First, as it holds the encounter, so that the newest note stays the newest.
            encounter = await self._refuse(transaction, organization_id, encounter_id, version, confirmed=confirmed)
            before = await self._newest_note(transaction, organization_id, encounter_id)
            if before is None or before.signed_at is not None:
                raise ConflictError("There is no note to sign, or it is signed already.")
            await self._sign(transaction, actor, encounter, user_id)
            return await self._notes.get(transaction, organization_id, before.id)

    async def sign(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        user_id: str,
        *,
        version: int | None = None,
        confirmed: bool = False,
    ) -> Encounter:
        """Sign the newest note and the documents, and show everything of the encounter that is complete.

        ``version`` is the one that was read: another current one is not signed. ``confirmed`` signs a stale note too,
        and the one before a newest one that could not be written.

        Raises NotFoundError, ErasedError, ConflictError (nothing to sign, the note is still being written, or what
        ``version`` and ``confirmed`` say).
        """
        async with self._database.write() as transaction:
            encounter = await self._refuse(transaction, organization_id, encounter_id, version, confirmed=confirmed)
            return await self._sign(transaction, actor, encounter, user_id)

    async def _refuse(
        self,
        transaction: Transaction,
        organization_id: str,
        encounter_id: str,
        version: int | None,
        *,
        confirmed: bool,
    ) -> Encounter:
        """Hold the encounter, if its note can be signed as it stands."""
        encounter = await self._encounters.lock(transaction, organization_id, encounter_id)
        if encounter.state is EncounterState.ERASED:
            raise ErasedError("This encounter was erased for good.")
        current = await self._notes.current(transaction, organization_id, encounter_id)
        if version is not None and (current is None or current.version != version):
            raise ConflictError("There is a newer version of the note than the one to be signed; read that first.")
        if current is None:
            return encounter
        if current.status is TextStatus.GENERATING:
            raise ConflictError("The note is still being written; sign it when it is there.")
        if not confirmed and current.status is TextStatus.FAILED:
            raise ConflictError(
                "The newest version of the note could not be written; have it written again, or confirm that the one "
                "before it is to be signed."
            )
        if not confirmed and current.stale and current.signed_at is None:
            raise ConflictError(
                "What the note rests on has changed since it was written; have it written again, or confirm that it "
                "is to be signed as it is."
            )
        return encounter

    async def _sign(self, transaction: Transaction, actor: Actor, encounter: Encounter, user_id: str) -> Encounter:
        """Sign what can be signed of a held encounter that was not refused."""
        organization_id, encounter_id = encounter.organization_id, encounter.id
        now = self._clock.now()
        signed = await self._notes.sign(transaction, organization_id, encounter_id, user_id, now)
        if not signed:
            raise ConflictError("There is nothing to sign: no note or document that is not signed already.")
        encounter = await self._encounters.save(
            transaction,
            replace(encounter, state=EncounterState.SIGNED, signed_at=now, signed_by=user_id, updated_at=now),
        )
        transcript = await self._transcripts.current(transaction, organization_id, encounter_id)
        if transcript is not None:
            await self._show_transcript(transaction, actor, transcript)
        note = await self._newest_note(transaction, organization_id, encounter_id)
        if note is not None:
            await self._show_note(transaction, actor, note)
        for document in await self._documents.list(transaction, organization_id, encounter_id):
            if document.status is TextStatus.CREATED and document.content is not None:
                await self._show_document(transaction, actor, document)
        if self._codes is not None:
            coded = await self._codes.of_encounter(transaction, organization_id, encounter_id)
            ready = [codes for codes in coded if codes.status is CodingStatus.READY and codes.entities]
            if ready:
                await self._show_billing(transaction, actor, max(ready, key=lambda codes: codes.created_at))
        if self._checklists is not None:
            checklist = await self._checklists.get(transaction, organization_id, encounter_id)
            if checklist is not None and transcript is not None and checklist.transcript_id == transcript.id:
                await self._show_checklist(transaction, actor, checklist)
        event = AuditEvent(
            organization_id=organization_id,
            actor=actor,
            action="encounter.signed",
            at=now,
            subject={"encounter": encounter_id, "user": user_id},
            detail={"texts": str(len(signed))},
        )
        await self._audit.append(transaction, [event])
        return encounter

    async def settle(self, transaction: Transaction, encounter: Encounter) -> Encounter:
        """Bring the state of a held encounter up to date, now that a recording or note has been dealt with.

        ``completed``: no transcript is on its way and the newest note is written. A signed one stays signed.
        """
        if encounter.state not in (EncounterState.OPEN, EncounterState.COMPLETED):
            return encounter
        note = await self._notes.current(transaction, encounter.organization_id, encounter.id)
        written = note is not None and note.status is TextStatus.CREATED
        waits = await self._hearing.awaits_transcript(transaction, encounter.organization_id, encounter.id)
        state = EncounterState.COMPLETED if written and not waits else EncounterState.OPEN
        if state is encounter.state:
            return encounter
        return await self._encounters.save(transaction, replace(encounter, state=state, updated_at=self._clock.now()))

    async def of_encounter(self, organization_id: str, encounter_id: str) -> Sequence[ReleasedDocument]:
        """Return what is readable of an encounter, by creation."""
        return await self.of_encounters(organization_id, [encounter_id])

    async def of_encounters(self, organization_id: str, encounter_ids: Sequence[str]) -> Sequence[ReleasedDocument]:
        """Return what is readable of these encounters, by creation."""
        async with self._database.read() as transaction:
            return await self._releases.of_encounters(transaction, organization_id, encounter_ids)

    async def get(self, organization_id: str, document_id: str) -> ReleasedDocument:
        """Return one readable document. Raises NotFoundError."""
        async with self._database.read() as transaction:
            return await self._releases.get(transaction, organization_id, document_id)

    async def _automatic(self, transaction: Transaction, organization_id: str) -> bool:
        organization = await self._organizations.get(transaction, organization_id)
        return organization.release is ReleasePolicy.AUTOMATIC

    async def _newest_note(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> NoteVersion | None:
        """Return the newest version that is written; one that failed does not hide the one before."""
        versions = await self._notes.versions(transaction, organization_id, encounter_id)
        written = [note for note in versions if note.status is TextStatus.CREATED and note.content is not None]
        return written[-1] if written else None

    async def _show_transcript(self, transaction: Transaction, actor: Actor, transcript: TranscriptVersion) -> None:
        await self._make_readable(
            transaction,
            actor,
            ReleasedKind.TRANSCRIPT,
            TRANSCRIPT,
            transcript,
            audio_duration=transcript.transcript.duration,
        )

    async def _show_note(self, transaction: Transaction, actor: Actor, note: NoteVersion) -> None:
        await self._make_readable(
            transaction,
            actor,
            ReleasedKind.DOCUMENT,
            NOTE,
            note,
            title=note.content.heading if note.content else None,
        )

    async def _show_document(self, transaction: Transaction, actor: Actor, document: Document) -> None:
        await self._make_readable(
            transaction,
            actor,
            ReleasedKind.DOCUMENT,
            f"{DOCUMENT}{document.id}",
            document,
            title=document.name,
        )

    async def _show_billing(self, transaction: Transaction, actor: Actor, codes: CodeSet) -> None:
        await self._make_readable(
            transaction,
            actor,
            ReleasedKind.BILLING,
            BILLING,
            codes,
        )

    async def _show_checklist(self, transaction: Transaction, actor: Actor, checklist: EncounterChecklist) -> None:
        await self._make_readable(
            transaction,
            actor,
            ReleasedKind.CHECKLIST,
            CHECKLIST,
            checklist,
        )

    async def _make_readable(
        self,
        transaction: Transaction,
        actor: Actor,
        kind: ReleasedKind,
        slot: str,
        source: _Releasable,
        *,
        audio_duration: float | None = None,
        title: str | None = None,
    ) -> None:
        """Make a document readable from outside. This is the one place where it happens: what must be told of it (the
        audit's entry, a webhook's event) is written here, in the same transaction.

        ``source`` is the version that is shown.
        """
        organization_id, encounter_id = source.organization_id, source.encounter_id
        now = self._clock.now()
        released = await self._releases.put(
            transaction,
            ReleasedDocument(
                id=derived_id("released document", organization_id, encounter_id, slot),
                organization_id=organization_id,
                encounter_id=encounter_id,
                kind=kind,
                slot=slot,
                source_id=source.id,
                created_at=source.created_at,
                released_at=now,
                updated_at=now,
                audio_duration=audio_duration,
                title=title or None,
            ),
        )
        # The place of a webhook's event: whoever follows it once this transaction is over finds ``released.id``.
        event = AuditEvent(
            organization_id=organization_id,
            actor=actor,
            action="document.released",
            at=now,
            subject={"encounter": encounter_id, "document": released.id, "source": source.id},
            detail={"kind": kind.value},
        )
        await self._audit.append(transaction, [event])
