"""Questions about a visit, put to the engine with all that the visit offers."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import date

from osler.kernel.errors import ConflictError
from osler.kernel.transactions import Database
from osler.notes.asking import AnswerPart, Question
from osler.notes.gathering import SourceService, paragraphs
from osler.notes.html_reading import markdown_of
from osler.notes.model import ContentType, SourceKind, TextStatus, WrittenText
from osler.notes.ports import Assistant, NoteRepository
from osler.notes.writing import Source, VisitSources

NOTHING = "There is nothing in this session to ask about yet; send audio, a note or a context document first."


class AskService:
    """Answers questions about one visit. The engine works in a thread, and no transaction is held meanwhile."""

    def __init__(
        self,
        *,
        database: Database,
        sources: SourceService,
        notes: NoteRepository,
        load_assistant: Callable[[], Assistant],
    ) -> None:
        """``load_assistant`` returns the engine, the same each time; it is called in a thread and may take long."""
        self._database = database
        self._sources = sources
        self._notes = notes
        self._load_assistant = load_assistant

    async def ask(
        self, organization_id: str, encounter_id: str, command: str, content: WrittenText
    ) -> AsyncGenerator[AnswerPart]:
        """Return the parts of the answer, each when it is finished. ``content`` is the text in hand, or empty.

        Whether the caller may see the encounter is not asked.

        Raises NotFoundError, ErasedError, ConflictError (neither a text in hand nor anything in the visit).
        """
        sources = await self._gathered(organization_id, encounter_id)
        text = await _markdown(content)
        if not sources.transcript.turns and not sources.others and not text.strip():
            raise ConflictError(NOTHING)
        question = Question(command, text, sources, date.fromisoformat(sources.facts["visit_date"]))
        return self._parts(question)

    async def _parts(self, question: Question) -> AsyncGenerator[AnswerPart]:
        parts = await asyncio.to_thread(lambda: self._load_assistant().answer(question))
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part

    async def _gathered(self, organization_id: str, encounter_id: str) -> VisitSources:
        """Return the sources of the visit, its own note among them."""
        sources = await self._sources.gather(organization_id, encounter_id)
        async with self._database.read() as transaction:
            versions = await self._notes.versions(transaction, organization_id, encounter_id)
        for note in reversed(versions):
            if note.status is not TextStatus.CREATED or note.content is None:
                continue
            own = Source(SourceKind.CONSULT_NOTE, note.id, paragraphs(await _markdown(note.content)))
            return replace(sources, others=(*sources.others, own)) if own.paragraphs else sources
        return sources


async def _markdown(content: WrittenText) -> str:
    if content.content_type is ContentType.HTML:  # of whatever length
        return await asyncio.to_thread(markdown_of, content.text)
    return content.text
