"""The coding room's service: the stored codes of encounters, asked for, and kept true to note and transcript."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from osler.audit.model import SYSTEM, Actor, AuditEvent, Outcome
from osler.audit.ports import AuditTrail
from osler.coding.coder import CodedEntity
from osler.coding.model import CodeSet, CodingStatus
from osler.coding.ports import CodeSetRepository
from osler.coding.terminology import Terminologies, Terminology, system_named
from osler.encounters.model import EncounterState
from osler.encounters.ports import EncounterRepository
from osler.encounters.service import ERASED, EncounterService
from osler.kernel.clock import Clock
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import ErasedError, TerminologyMissingError
from osler.kernel.ids import derived_id, new_id
from osler.kernel.jobs import Job, JobKind, JobQueue
from osler.kernel.transactions import Database, Transaction
from osler.notes.model import NoteVersion, TextStatus
from osler.notes.ports import NoteRepository
from osler.speech.model import TranscriptVersion
from osler.speech.records import TranscriptService

NOTHING_TO_CODE: Final = "There is nothing to code: send audio or write a note, then ask again."


@dataclass(frozen=True, slots=True)
class Visit:
    """What an encounter's codes rest on: its newest written note, its transcript in use, and whether more is on its
    way (``awaited``: a note is being written, or there is none and a transcript will come).
    """

    note: NoteVersion | None
    transcript: TranscriptVersion | None
    awaited: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to code."""
        return self.note is None and self.transcript is None


class CodingService:
    """Gives and keeps the codes of encounters. The pipeline makes them, as jobs CODE_ENCOUNTER."""

    def __init__(
        self,
        *,
        database: Database,
        codes: CodeSetRepository,
        gate: EncounterService,
        encounters: EncounterRepository,
        notes: NoteRepository,
        hearing: TranscriptService,
        terminologies: Terminologies,
        coder: EngineRecord,
        queue: JobQueue,
        audit: AuditTrail,
        clock: Clock,
        default_system: str | None = None,
    ) -> None:
        """``coder`` is the record of what codes; ``default_system`` is coded unasked once a note is written."""
        self._database = database
        self._codes = codes
        self._gate = gate
        self._encounters = encounters
        self._notes = notes
        self._hearing = hearing
        self._terminologies = terminologies
        self._coder = coder
        self._queue = queue
        self._audit = audit
        self._clock = clock
        self._default = default_system

    async def of_encounter(
        self, actor: Actor, organization_id: str, encounter_id: str, system: str, *, user_id: str | None = None
    ) -> tuple[CodeSet, Visit]:
        """Return the encounter's codes in a system, and what they rest on; codes that are not there yet are made.

        PROCESSING until they are; asking again says how it went. FAILED with what to do where the system is not
        installed or there is nothing to code. Codes that rest on an older note or transcript are made anew.

        Raises UnknownNameError, NotFoundError, ErasedError.
        """
        name = system_named(system)
        await self._gate.standing(organization_id, encounter_id, user_id=user_id)
        try:
            terminology = await asyncio.to_thread(self._terminologies.get, name)
        except TerminologyMissingError as error:
            return self._unstored(organization_id, encounter_id, name, str(error)), Visit(None, None, awaited=False)
        async with self._database.read() as transaction:
            visit = await self.visit(transaction, organization_id, encounter_id)
            stored = await self._codes.get(transaction, organization_id, encounter_id, name)
        if stored is not None and stored.basis and stored.basis == self._basis(visit, terminology):
            return stored, visit
        if visit.is_empty and not visit.awaited:
            return self._unstored(organization_id, encounter_id, name, NOTHING_TO_CODE), visit
        async with self._database.write() as transaction:
            encounter = await self._encounters.lock(transaction, organization_id, encounter_id)
            if encounter.state is EncounterState.ERASED:
                raise ErasedError(ERASED)
            visit = await self.visit(transaction, organization_id, encounter_id)
            codes = await self._ask(transaction, organization_id, encounter_id, visit, terminology)
            event = AuditEvent(
                organization_id,
                actor,
                "codes.requested",
                self._clock.now(),
                {"encounter": encounter_id, "codes": codes.id},
            )
            await self._audit.append(transaction, [event])
        return codes, visit

    async def follow(self, transaction: Transaction, organization_id: str, encounter_id: str) -> None:
        """Have the codes made anew that no longer rest on the newest note; the caller holds the encounter.

        Once there is a note, the default system is coded without having been asked for.
        """
        visit = await self.visit(transaction, organization_id, encounter_id)
        if visit.awaited or visit.is_empty:
            return
        stored = await self._codes.of_encounter(transaction, organization_id, encounter_id)
        systems = [codes.coding_system for codes in stored]
        if self._default and visit.note is not None and self._default not in systems:
            systems.append(self._default)
        for system in systems:
            try:
                terminology = await asyncio.to_thread(self._terminologies.get, system)
            except TerminologyMissingError:
                continue
            await self._ask(transaction, organization_id, encounter_id, visit, terminology)

    async def visit(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Visit:
        """Return what the codes of an encounter are to rest on now."""
        versions = await self._notes.versions(transaction, organization_id, encounter_id)
        written = [n for n in versions if n.status is TextStatus.CREATED and n.content is not None]
        transcript = await self._hearing.in_use(transaction, organization_id, encounter_id)
        writing = bool(versions) and versions[-1].status is TextStatus.GENERATING
        heard = transcript is not None or not await self._hearing.awaits_transcript(
            transaction, organization_id, encounter_id
        )
        return Visit(written[-1] if written else None, transcript, awaited=writing or (not written and not heard))

    async def open(self, transaction: Transaction, job: Job) -> tuple[CodeSet, Visit] | None:
        """Return what a job is to code, with its encounter held; None if that is done, replaced or erased."""
        encounter = await self._encounters.lock(transaction, job.organization_id, job.subject["encounter"])
        if encounter.state is EncounterState.ERASED:
            return None
        codes = await self._codes.get(transaction, job.organization_id, encounter.id, job.subject["system"])
        # A failure is final for the attempt that failed; a retry by an operator is another attempt.
        wanted = {CodingStatus.PROCESSING} if job.attempt == 1 else {CodingStatus.PROCESSING, CodingStatus.FAILED}
        if codes is None or codes.id != job.subject["codes"] or codes.status not in wanted:
            return None
        return codes, await self.visit(transaction, job.organization_id, encounter.id)

    async def complete(
        self, transaction: Transaction, codes: CodeSet, entities: Sequence[CodedEntity], visit: Visit
    ) -> CodeSet:
        """Store what was coded; the caller holds the encounter."""
        ready = replace(
            codes,
            status=CodingStatus.READY,
            note_id=visit.note.id if visit.note else None,
            entities=tuple(entity.to_json() for entity in entities),
            failure=None,
        )
        await self._codes.save(transaction, ready)
        await self._trace(transaction, ready, Outcome.DONE, {"entities": str(len(entities))})
        return ready

    async def fail(self, transaction: Transaction, codes: CodeSet, code: str) -> None:
        """Store that the visit could not be coded; the caller holds the encounter."""
        await self._codes.save(transaction, replace(codes, status=CodingStatus.FAILED, failure=code))
        await self._trace(transaction, codes, Outcome.FAILED, {"failure": code})

    def rests_on(self, codes: CodeSet, visit: Visit, terminology: Terminology) -> bool:
        """Say whether codes were asked for of exactly this note and transcript."""
        return codes.basis == self._basis(visit, terminology)

    async def _ask(
        self,
        transaction: Transaction,
        organization_id: str,
        encounter_id: str,
        visit: Visit,
        terminology: Terminology,
    ) -> CodeSet:
        """Have the visit coded, unless that is done or under way. While more is on its way, remember the question."""
        basis = "" if visit.awaited else self._basis(visit, terminology)
        stored = await self._codes.get(transaction, organization_id, encounter_id, terminology.system)
        if stored is not None and stored.basis == basis:
            return stored
        now = self._clock.now()
        codes = CodeSet(
            id=new_id(),
            organization_id=organization_id,
            encounter_id=encounter_id,
            coding_system=terminology.system,
            created_at=now,
            status=CodingStatus.PROCESSING,
            note_id=visit.note.id if visit.note else None,
            basis=basis,
        )
        await self._codes.save(transaction, codes)
        if basis:
            subject = {"encounter": encounter_id, "codes": codes.id, "system": terminology.system}
            await self._queue.enqueue(
                transaction, Job(codes.id, organization_id, JobKind.CODE_ENCOUNTER, subject, created_at=now)
            )
        return codes

    def _basis(self, visit: Visit, terminology: Terminology) -> str:
        return derived_id(
            "codes",
            visit.note.id if visit.note else "",
            visit.transcript.id if visit.transcript else "",
            self._coder.label,
            self._coder.version,
            terminology.system,
            terminology.version,
        )

    def _unstored(self, organization_id: str, encounter_id: str, system: str, failure: str) -> CodeSet:
        return CodeSet(
            id=derived_id("no codes", organization_id, encounter_id, system),
            organization_id=organization_id,
            encounter_id=encounter_id,
            coding_system=system,
            created_at=self._clock.now(),
            status=CodingStatus.FAILED,
            failure=failure,
        )

    async def _trace(self, transaction: Transaction, codes: CodeSet, outcome: Outcome, detail: dict[str, str]) -> None:
        event = AuditEvent(
            organization_id=codes.organization_id,
            actor=SYSTEM,
            action="encounter.coded",
            at=self._clock.now(),
            subject={"encounter": codes.encounter_id, "codes": codes.id},
            outcome=outcome,
            detail={"system": codes.coding_system, **detail},
        )
        await self._audit.append(transaction, [event])
