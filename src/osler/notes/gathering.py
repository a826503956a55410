"""What a visit offers to be written from: its transcript, and all that its clinician put beside it."""

import asyncio
import re
from dataclasses import replace
from typing import Final

from osler.access.model import Organization, Visibility
from osler.access.ports import OrganizationRepository
from osler.encounters.model import ContextDocumentStatus, Encounter, EncounterState
from osler.encounters.ports import ContextDocumentRepository, EncounterRepository
from osler.encounters.service import ERASED
from osler.kernel.errors import ErasedError, NotFoundError
from osler.kernel.transactions import Database, Transaction
from osler.notes.model import SourceKind, TextStatus
from osler.notes.ports import NoteRepository
from osler.notes.writing import Source, VisitSources
from osler.speech.dialogue import name_speakers
from osler.speech.model import CLINICIAN, PATIENT, Transcript
from osler.speech.ports import TranscriptRepository

_OF_ENCOUNTER: Final = (SourceKind.CONTEXT_DOCUMENT, SourceKind.CLINICIAN_NOTE)

_BLANK_LINES: Final = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def paragraphs(text: str) -> tuple[str, ...]:
    """Return what stands between the blank lines of a text, without white space around it; never an empty one."""
    found = (each.strip() for each in _BLANK_LINES.split(text.replace("\r\n", "\n").replace("\r", "\n")))
    return tuple(each for each in found if each)


def by_role(transcript: Transcript) -> Transcript:
    """Return a transcript in which the clinician and the patient are called so, whatever labels a person gave them.

    What each says decides where a label has no role. Whoever is neither keeps the label. No text changes.
    """
    named = name_speakers(transcript) if transcript.turns else transcript
    turns = tuple(
        replace(turn, speaker=known.speaker) if known.speaker in (CLINICIAN, PATIENT) else turn
        for turn, known in zip(transcript.turns, named.turns, strict=True)
    )
    return transcript if turns == transcript.turns else replace(transcript, turns=turns)


class SourceService:
    """Gathers the sources of an encounter, all as of one moment."""

    def __init__(
        self,
        *,
        database: Database,
        encounters: EncounterRepository,
        organizations: OrganizationRepository,
        transcripts: TranscriptRepository,
        documents: ContextDocumentRepository,
        notes: NoteRepository,
    ) -> None:
        self._database = database
        self._encounters = encounters
        self._organizations = organizations
        self._transcripts = transcripts
        self._documents = documents
        self._notes = notes

    async def gather(self, organization_id: str, encounter_id: str) -> VisitSources:
        """Return the transcript in use, what stands beside it, and what is known before a word is said.

        Beside it: the text of context documents that were read, the clinician's notes, and of each linked encounter
        the newest written note, or without one its transcript by turns. Of linked encounters only those count that
        the encounter's owner may see and that were not erased. Whether the caller may see the encounter is not asked.
        A speaker whom a person named ("Mr Carter") is the clinician or patient again, as :func:`by_role` has it.

        Raises NotFoundError, ErasedError.
        """
        async with self._database.read() as transaction:
            sources = await self.within(transaction, organization_id, encounter_id)
        return replace(sources, transcript=await asyncio.to_thread(by_role, sources.transcript))

    async def within(self, transaction: Transaction, organization_id: str, encounter_id: str) -> VisitSources:
        """As :meth:`gather`, in the caller's transaction."""
        encounter = await self._encounters.get(transaction, organization_id, encounter_id)
        if encounter.state is EncounterState.ERASED:
            raise ErasedError(ERASED)
        organization = await self._organizations.get(transaction, organization_id)
        in_use = await self._transcripts.current(transaction, organization_id, encounter_id)
        others = list(await self._beside(transaction, encounter))
        for linked_id in encounter.linked_encounter_ids:
            linked = await self._linked(transaction, organization, encounter, linked_id)
            if linked is not None and linked.paragraphs:
                others.append(linked)
        return VisitSources(
            transcript=in_use.transcript if in_use is not None else Transcript(turns=()),
            transcript_id=in_use.id if in_use is not None else None,
            others=tuple(others),
            facts=_facts(encounter, organization),
            linked=encounter.linked_encounter_ids,
        )

    async def changed_since(
        self, transaction: Transaction, organization_id: str, encounter_id: str, gathered: VisitSources
    ) -> bool:
        """Say whether something else stands beside the transcript by now, or other encounters are linked.

        Of the transcript its id tells. What is written in linked encounters counts for nothing here, as elsewhere. The
        caller holds the encounter. Raises NotFoundError.
        """
        encounter = await self._encounters.get(transaction, organization_id, encounter_id)
        beside = await self._beside(transaction, encounter)
        return (beside, encounter.linked_encounter_ids) != (_own(gathered), gathered.linked)

    async def erased_since(
        self, transaction: Transaction, organization_id: str, encounter_id: str, gathered: VisitSources
    ) -> bool:
        """Say whether something of the encounter's own that was gathered is gone: the transcript, a document, or all
        notes of the clinician. The caller holds the encounter. Raises NotFoundError.
        """
        in_use = await self._transcripts.current(transaction, organization_id, encounter_id)
        if in_use is None and gathered.transcript_id is not None:
            return True
        encounter = await self._encounters.get(transaction, organization_id, encounter_id)
        left = {_piece(source) for source in await self._beside(transaction, encounter)}
        return not {_piece(source) for source in _own(gathered)} <= left

    async def _beside(self, transaction: Transaction, encounter: Encounter) -> tuple[Source, ...]:
        """Return what stands beside the transcript of the encounter itself: documents that were read, and notes."""
        documents = await self._documents.list(transaction, encounter.organization_id, encounter.id)
        found = [
            Source(SourceKind.CONTEXT_DOCUMENT, document.id, paragraphs(document.text))
            for document in documents
            if document.status is ContextDocumentStatus.READY and document.text
        ]
        found += [
            Source(SourceKind.CLINICIAN_NOTE, str(index), paragraphs(text))
            for index, text in enumerate(encounter.clinician_notes)
        ]
        return tuple(source for source in found if source.paragraphs)

    async def _linked(
        self, transaction: Transaction, organization: Organization, encounter: Encounter, linked_id: str
    ) -> Source | None:
        """Return what a linked encounter has to say; None if it is gone, or not for the owner's eyes."""
        try:
            linked = await self._encounters.get(transaction, organization.id, linked_id)
        except NotFoundError:
            return None
        if linked.state is EncounterState.ERASED:
            return None
        if linked.owner_id != encounter.owner_id and organization.visibility is not Visibility.TENANT:
            return None
        versions = await self._notes.versions(transaction, organization.id, linked_id)
        for note in reversed(versions):
            if note.status is TextStatus.CREATED and note.content is not None:
                return Source(SourceKind.LINKED_NOTE, linked_id, paragraphs(note.content.text))
        heard = await self._transcripts.current(transaction, organization.id, linked_id)
        if heard is None:
            return None
        return Source(SourceKind.LINKED_TRANSCRIPT, linked_id, tuple(turn.text for turn in heard.transcript.turns))


def _own(sources: VisitSources) -> tuple[Source, ...]:
    """Return what is of the encounter itself, and stands in it."""
    return tuple(each for each in sources.others if each.kind in _OF_ENCOUNTER)


def _piece(source: Source) -> tuple[SourceKind, str]:
    """Return what is erased as one: a document, or the clinician's notes together."""
    return source.kind, source.id if source.kind is SourceKind.CONTEXT_DOCUMENT else ""


def _facts(encounter: Encounter, organization: Organization) -> dict[str, str]:
    """Return the facts by the names of ``template_placeholders.FIELDS``; days are YYYY-MM-DD."""
    patient = encounter.patient
    day = (encounter.created_time_local or encounter.created_at).date()
    known = {
        "patient_name": patient.name if patient is not None else "",
        "patient_birth_date": patient.birth_date.isoformat() if patient is not None and patient.birth_date else "",
        "patient_gender": (patient.gender or "") if patient is not None else "",
        "visit_date": day.isoformat(),
        "organization_name": organization.name,
    }
    return {name: value.strip() for name, value in known.items() if value.strip()}
