"""The computing half of writing notes and documents: what is to be written is gathered, then written in a thread."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from osler.kernel.engine_record import EngineRecord
from osler.kernel.transactions import Database, Transaction
from osler.notes.gathering import SourceService, paragraphs
from osler.notes.html import shown
from osler.notes.model import Document, NoteVersion, SourceKind, VoiceStyle
from osler.notes.ports import NoteRepository
from osler.notes.records import THIRD_PARTY
from osler.notes.service import NoteService
from osler.notes.template_language import read
from osler.notes.template_library import TemplateService
from osler.notes.template_tree import TemplateText, lines_of
from osler.notes.writing import Brain, Source, VisitSources, VoiceProfile, WritingTask, WrittenPart

BREATH: Final = 0.1
"""Seconds that a writer is waited for before the pieces that are finished are stored."""

NOTES_LEARNED_FROM: Final = 20
"""Notes of a user that his voice is learned from: the newest ones."""

LINE_ENDS: Final = ("\n", "\r")

REQUESTED_BY: Final = "requested_by"
VOICE_NOTES: Final = "voice_notes"
"""Options of a text: the user who asked for it, and how many notes of his own its voice was learned from."""

KeepPieces = Callable[[tuple[str, ...]], Awaitable[bool]]
"""Stores the finished pieces; False if nobody wants the text any more."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A text as it was written, and by what."""

    parts: tuple[WrittenPart, ...]
    engine: EngineRecord


class Composing:
    """Gathers what a text is written from and has it written; no transaction is held meanwhile."""

    def __init__(
        self,
        *,
        database: Database,
        sources: SourceService,
        templates: TemplateService,
        notes: NoteRepository,
        load_writer: Callable[[], NoteService],
    ) -> None:
        """``load_writer`` returns the note service, the same each time; it is called in a thread and may take long."""
        self._database = database
        self._sources = sources
        self._templates = templates
        self._notes = notes
        self._load_writer = load_writer
        self._loading = threading.Lock()

    async def warm(self) -> None:
        """Load what the first text would have to wait for."""
        await asyncio.to_thread(lambda: self._writer().warm())

    async def check_language(self, code: str | None) -> None:
        """Raise UnsupportedLanguageError if texts cannot be written in this language; None is the writer's own."""
        if code:
            await asyncio.to_thread(lambda: self._writer().check_language(code))

    async def task(self, text: NoteVersion | Document) -> WritingTask:
        """Return what is to be done to write a text that was asked for.

        Raises NotFoundError, ErasedError.
        """
        sources = await self._sources.gather(text.organization_id, text.encounter_id)
        if text.template == THIRD_PARTY:
            tree, title = client_template(text.texts.template), ""
        else:
            template = await self._templates.get(text.organization_id, text.template, removed=True)
            tree, title = template.tree, template.name
        return WritingTask(
            sources=_with_addition(sources, text.texts.addition),
            template=tree,
            title=title,
            voice_style=VoiceStyle(text.voice_style),
            brain=Brain(text.options.get("brain", Brain.LEFT)),
            voice=await self._voice(text),
        )

    async def is_outdated(self, transaction: Transaction, text: NoteVersion | Document, task: WritingTask) -> bool:
        """Say whether something else stands beside the transcript by now; the caller holds the encounter."""
        return await self._sources.changed_since(transaction, text.organization_id, text.encounter_id, task.sources)

    async def write(self, task: WritingTask, keep: KeepPieces | None = None) -> Composed | None:
        """Write a text; ``keep`` is given all pieces that are finished whenever that takes longer than a moment.

        None if ``keep`` said that nobody wants it any more. Raises NoClinicalContentError and what the writer raises.
        """
        parts: list[WrittenPart] = []
        abandoned = threading.Event()

        def write() -> EngineRecord:
            writer = self._writer()
            for part in writer.compose(task):
                parts.append(part)
                if abandoned.is_set():
                    break
            return writer.record

        writing = asyncio.create_task(asyncio.to_thread(write), name="writing")
        kept = 0
        try:
            while not writing.done():
                await asyncio.wait((writing,), timeout=BREATH)
                if keep is not None and not writing.done() and len(parts) > kept:
                    kept = len(parts)
                    if not await keep(tuple(part.text for part in parts[:kept])):
                        return None
        finally:
            abandoned.set()
        return Composed(tuple(parts), await writing)

    def _writer(self) -> NoteService:
        with self._loading:  # several texts at once must not load it twice
            return self._load_writer()

    async def _voice(self, text: NoteVersion | Document) -> VoiceProfile | None:
        """Return how the user who asked writes; None if the text is not to be in his voice, or he wrote nothing."""
        user_id = text.options.get(REQUESTED_BY)
        if text.voice_style != VoiceStyle.MY_VOICE or not user_id:
            return None
        async with self._database.read() as transaction:
            own = await self._notes.of_author(transaction, text.organization_id, user_id, NOTES_LEARNED_FROM)
        return await asyncio.to_thread(_learned, own) if own else None


def client_template(text: str) -> TemplateText:
    """Return the tree of a template that a client sent, whatever is wrong with it.

    One of headings alone, as other products' templates are, asks under each heading for what that names.
    """
    tree = read(text)[0]
    if tree.placeholders:
        return tree
    asking = []
    for section in tree.sections:
        lines = [line.source for line in lines_of(section)]
        if section.title and not any(line.parts for line in section.lines):
            lines.insert(1, f"{'' if lines[0].endswith(LINE_ENDS) else chr(10)}[{section.title}]\n")
        asking += lines
    return read("".join(asking))[0]


def voice_options(text: NoteVersion | Document, task: WritingTask) -> dict[str, str]:
    """Return what is kept with a text about the voice that it is in: of how many notes it was learned."""
    if text.voice_style != VoiceStyle.MY_VOICE:
        return {}
    return {VOICE_NOTES: str(task.voice.notes if task.voice is not None else 0)}


def _learned(notes: Sequence[NoteVersion]) -> VoiceProfile:
    from osler.notes.voice import learn

    return learn([shown(note) for note in notes])


def _with_addition(sources: VisitSources, addition: str) -> VisitSources:
    said = paragraphs(addition)
    if not said:
        return sources
    return replace(sources, others=(*sources.others, Source(SourceKind.ADDITION, "", said)))
