"""The arrow from context document to its text."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Final

from osler.encounters.context import ContextDocumentService
from osler.encounters.model import ParsedDocument
from osler.encounters.ports import DocumentParser
from osler.kernel.blobs import BlobVault, StoredBlob
from osler.kernel.errors import EngineError, ErasedError, MissingExtraError, UnreadableDocumentError
from osler.kernel.jobs import Job
from osler.kernel.transactions import Database
from osler.notes.records import NoteRecordService

_MISSING: Final = "not_installed"
_UNREAD: Final = "not_read"
_SENTENCE: Final = "It could not be read for now. Ask an operator to retry the job (osler jobs), or send it again."


class ContextParsing:
    """The step of the job PARSE_CONTEXT. Done again, it finds the document read and changes nothing."""

    def __init__(
        self,
        *,
        database: Database,
        documents: ContextDocumentService,
        notes: NoteRecordService,
        vault: BlobVault,
        load_parser: Callable[[], DocumentParser],
    ) -> None:
        """``load_parser`` returns the parser, the same each time."""
        self._database = database
        self._documents = documents
        self._notes = notes
        self._vault = vault
        self._load_parser = load_parser

    async def parse(self, job: Job) -> None:
        """Read the document. A bad file is no failure of the job: the document is FAILED, and says why.

        Raises EngineError (retryable if the machine is to blame) and StorageError.
        """
        async with self._database.write() as transaction:
            document = await self._documents.to_read(transaction, job, again=True)
        if document is None:
            return
        parser = self._load_parser()
        try:
            parsed = await asyncio.to_thread(_read, parser, self._vault, document.blob)
        except UnreadableDocumentError as error:
            await self._fail(job, error.code, str(error))
            return
        except ErasedError:
            return  # deleted or erased meanwhile
        except MissingExtraError as error:
            await self._fail(job, _MISSING, str(error))
            # The job fails, so that an operator can retry it once the part is there.
            raise EngineError("A part that reads documents is not installed.") from None
        async with self._database.write() as transaction:
            document = await self._documents.to_read(transaction, job)
            if document is not None:
                await self._documents.ready(transaction, document, parsed, parser.record)
                await self._notes.sources_changed(transaction, document.organization_id, document.encounter_id)

    async def failed(self, job: Job, code: str) -> None:
        """Show that the document could not be read, if it does not say so already."""
        await self._fail(job, _UNREAD, _SENTENCE)

    async def _fail(self, job: Job, code: str, sentence: str) -> None:
        async with self._database.write() as transaction:
            document = await self._documents.to_read(transaction, job)
            if document is not None:
                await self._documents.failed(transaction, document, code, sentence)


def _read(parser: DocumentParser, vault: BlobVault, blob: StoredBlob) -> ParsedDocument:
    with closing(vault.open(blob)) as file:
        return parser.parse(file)
