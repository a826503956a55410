"""The arrow from what a visit offers to its note."""

from typing import ClassVar, Unpack

from osler.coding.service import CodingService
from osler.encounters.model import Encounter
from osler.kernel.jobs import Job
from osler.kernel.transactions import Transaction
from osler.notes.model import NoteVersion
from osler.notes.ports import NoteRepository
from osler.notes.records import NoteRecordService
from osler.notes.writing import WritingTask
from osler.pipeline.composing import Composed, KeepPieces, voice_options
from osler.pipeline.text_writing import TextWriting, WritingParts


class NoteWriting(TextWriting[NoteVersion]):
    """The step of the job WRITE_NOTE."""

    noun: ClassVar[str] = "note"

    def __init__(
        self,
        *,
        notes: NoteRepository,
        note_records: NoteRecordService,
        coding: CodingService | None = None,
        **writing: Unpack[WritingParts],
    ) -> None:
        """``coding`` has codes made anew that rest on the note; ``writing`` is for :class:`TextWriting`."""
        super().__init__(**writing)
        self._notes = notes
        self._records = note_records
        self._coding = coding

    def _keeper(self, job: Job) -> KeepPieces:
        async def keep(pieces: tuple[str, ...]) -> bool:
            async with self._database.write() as transaction:
                standing = await self._to_write(transaction, job)
                if standing is not None:
                    await self._records.keep_pieces(transaction, standing, pieces)
            return standing is not None

        return keep

    async def _lock(self, transaction: Transaction, encounter: Encounter, job: Job) -> NoteVersion:
        return await self._notes.lock(transaction, encounter.organization_id, job.subject["note"])

    async def _resume(self, transaction: Transaction, text: NoteVersion) -> None:
        await self._records.resume(transaction, text)

    async def _complete(
        self, transaction: Transaction, text: NoteVersion, written: Composed, task: WritingTask, *, stale: bool
    ) -> NoteVersion:
        note = await self._records.complete(
            transaction,
            text,
            written.parts,
            written.engine,
            heading=task.title,
            transcript_id=task.sources.transcript_id,
            stale=stale,
            options=voice_options(text, task),
        )
        await self._settle(transaction, note)
        await self._release.release_note(transaction, note)
        if self._coding is not None:
            await self._coding.follow(transaction, note.organization_id, note.encounter_id)
        return note

    async def _fail(self, transaction: Transaction, text: NoteVersion, code: str) -> None:
        await self._records.fail(transaction, text, code)
        await self._settle(transaction, text)

    async def _settle(self, transaction: Transaction, note: NoteVersion) -> None:
        encounter = await self._encounters.lock(transaction, note.organization_id, note.encounter_id)
        await self._release.settle(transaction, encounter)
