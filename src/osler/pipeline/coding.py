"""The arrow from note and transcript to codes."""

import asyncio
import re
from collections.abc import Callable
from typing import Final

from osler.coding.coder import CodedEntity, Coder, CodingTask
from osler.coding.service import CodingService, Visit
from osler.coding.terminology import Terminologies, Terminology
from osler.kernel.jobs import Job
from osler.kernel.transactions import Database
from osler.notes.gathering import by_role
from osler.notes.model import ContentType
from osler.notes.ports import FindingExtractor
from osler.release.service import ReleaseService

_TAG: Final = re.compile(r"<[^<>]*>")


class EncounterCoding:
    """The step of the job CODE_ENCOUNTER. Done again, it finds the codes made and changes nothing."""

    def __init__(
        self,
        *,
        database: Database,
        coding: CodingService,
        release: ReleaseService,
        coder: Coder,
        load_extractor: Callable[[], FindingExtractor],
        terminologies: Terminologies,
    ) -> None:
        """``load_extractor`` returns what finds the findings of a transcript; it is called in a thread."""
        self._database = database
        self._coding = coding
        self._release = release
        self._coder = coder
        self._load_extractor = load_extractor
        self._terminologies = terminologies

    async def code(self, job: Job) -> None:
        """Code a visit. Raises TerminologyMissingError, NoClinicalContentError."""
        async with self._database.write() as transaction:
            asked = await self._coding.open(transaction, job)
        if asked is None:
            return
        # The first use of a system reads its index, and other writers are not to wait for that.
        terminology = await asyncio.to_thread(self._terminologies.get, asked[0].coding_system)
        async with self._database.write() as transaction:
            asked = await self._coding.open(transaction, job)
            if asked is None:
                return
            codes, visit = asked
            if not self._coding.rests_on(codes, visit, terminology):  # note or transcript are others by now
                await self._coding.follow(transaction, job.organization_id, codes.encounter_id)
                return
        entities = await asyncio.to_thread(self._code, visit, terminology)
        async with self._database.write() as transaction:
            asked = await self._coding.open(transaction, job)
            if asked is None:
                return
            codes, latest = asked
            if not self._coding.rests_on(codes, latest, terminology):
                await self._coding.follow(transaction, job.organization_id, codes.encounter_id)
                return
            ready = await self._coding.complete(transaction, codes, entities, visit)
            if ready.entities:
                await self._release.release_billing(transaction, ready)

    async def failed(self, job: Job, code: str) -> None:
        """Show that the visit could not be coded, with the error's code."""
        async with self._database.write() as transaction:
            asked = await self._coding.open(transaction, job)
            if asked is not None:
                await self._coding.fail(transaction, asked[0], code)

    def _code(self, visit: Visit, terminology: Terminology) -> list[CodedEntity]:
        transcript = by_role(visit.transcript.transcript) if visit.transcript else None
        note = visit.note.content if visit.note else None
        findings = self._load_extractor().extract(transcript) if transcript and transcript.turns else []
        text = note.text if note else ""
        if note and note.content_type is ContentType.HTML:
            text = _TAG.sub(lambda tag: "\n" + " " * (len(tag.group()) - 1), text)  # offsets stay what they are
        return self._coder.code(CodingTask(note=text, transcript=transcript, findings=findings), terminology)
