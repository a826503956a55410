"""Reading the record from outside: the one place that decides what a look-up finds, and in which order it refuses."""

import asyncio
import logging
import re
from datetime import UTC, datetime
from typing import Final, Protocol

from osler.kernel.errors import BlobsUnavailableError, CorruptedError, EmptyAudioError, ErasedError, NotFoundError
from osler.kernel.transactions import Database, Transaction
from osler.notes.model import ContentType, WrittenText
from osler.notes.ports import DocumentRepository, NoteRepository
from osler.release import projection
from osler.release.model import DOCUMENT, NOTE, ReleasedDocument, ReleasedKind
from osler.release.ports import PublicRepository
from osler.release.public_model import (
    LookupReason,
    LookupRefusedError,
    PublicAudio,
    PublicDocument,
    PublicDocumentSummary,
    PublicEncounter,
    PublicEncounterType,
    PublicPage,
    PublicPatient,
    PublicStanding,
    PublicStatus,
    PublicTranscript,
    PublicTurn,
    WorkflowVariant,
)
from osler.speech.model import TranscriptVersion
from osler.speech.ports import TranscriptRepository

__all__ = [
    "LookupReason",
    "LookupRefusedError",
    "PublicAudio",
    "PublicDocument",
    "PublicDocumentSummary",
    "PublicEncounter",
    "PublicEncounterType",
    "PublicPage",
    "PublicPatient",
    "PublicReadingService",
    "PublicStatus",
    "PublicTranscript",
    "PublicTurn",
    "RecordingAddresses",
    "ReleasedKind",
    "WorkflowVariant",
]


logger = logging.getLogger(__name__)

_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")


class RecordingAddresses(Protocol):
    """Where a recording can be heard, without any header, for a while."""

    async def url(self, organization_id: str, encounter_id: str, recording_id: str) -> tuple[str, datetime]:
        """Sign a new URL; returns it and when it ends.

        Raises NotFoundError and EmptyAudioError (there never was any), ErasedError, BlobsUnavailableError.
        """
        ...


class PublicReadingService:
    """What the public API answers. Everything is read in one transaction: a document that was withdrawn at the same
    moment is there with all that it says, or not at all.

    Whoever calls this leaves the trace of what was shown, before he shows it.
    """

    def __init__(
        self,
        *,
        database: Database,
        public: PublicRepository,
        transcripts: TranscriptRepository,
        notes: NoteRepository,
        documents: DocumentRepository,
        addresses: RecordingAddresses,
    ) -> None:
        self._database = database
        self._public = public
        self._transcripts = transcripts
        self._notes = notes
        self._documents = documents
        self._addresses = addresses

    async def page(
        self,
        organization_id: str,
        *,
        limit: int,
        offset: int,
        newest_first: bool,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
    ) -> PublicPage:
        """Return one page of the organization's encounters by ``created_at``, then id, and how many there are.

        ``start_at`` is inclusive, ``end_at`` exclusive; both have a time zone.
        """
        async with self._database.read() as transaction:
            records, total = await self._public.page(
                transaction,
                organization_id,
                limit=limit,
                offset=offset,
                newest_first=newest_first,
                start_at=None if start_at is None else _in_utc(start_at),
                end_at=None if end_at is None else _in_utc(end_at),
            )
        return PublicPage(tuple(projection.projected(record) for record in records), total)

    async def encounter(self, organization_id: str, encounter_id: str) -> PublicEncounter:
        """Raises LookupRefusedError: encounter_not_found, cross_organization_denied, demo_training_denied."""
        async with self._database.read() as transaction:
            known = _is_id(encounter_id)
            record = await self._public.record(transaction, organization_id, encounter_id) if known else None
            if record is None:
                await self._standing(transaction, organization_id, encounter_id)
                raise LookupRefusedError(LookupReason.ENCOUNTER_NOT_FOUND)
        return projection.projected(record)

    async def document(self, organization_id: str, encounter_id: str, document_id: str) -> PublicDocument:
        """Return a document's text, or what is known of a transcript.

        Raises LookupRefusedError: as :meth:`encounter`, then document_not_found, unsupported_document_type.
        """
        async with self._database.read() as transaction:
            variant, document = await self._document(transaction, organization_id, encounter_id, document_id)
            content = None
            if document.kind is ReleasedKind.DOCUMENT:
                content = await self._content(transaction, document)
            elif document.kind is not ReleasedKind.TRANSCRIPT:
                raise LookupRefusedError(LookupReason.UNSUPPORTED_DOCUMENT_TYPE)
        text = None if content is None else await self._markdown(content)
        return projection.detail(document, variant, text)

    async def transcript(self, organization_id: str, encounter_id: str, document_id: str) -> PublicTranscript:
        """Return the turns of a transcript.

        Raises LookupRefusedError: as :meth:`document`, then transcript_not_found.
        """
        async with self._database.read() as transaction:
            document = await self._transcript_document(transaction, organization_id, encounter_id, document_id)
            version = await self._version(transaction, document)
        if version is None:
            raise LookupRefusedError(LookupReason.TRANSCRIPT_NOT_FOUND)
        return projection.transcript_shown(document, version.transcript)

    async def audio(self, organization_id: str, encounter_id: str, document_id: str) -> PublicAudio:
        """Sign a new URL of the recording that a transcript is of.

        Raises LookupRefusedError: as :meth:`document`, then audio_not_available_for_document (no transcript, or one
        that no recording stands behind), audio_not_found (it was erased, or is damaged), audio_storage_unavailable.
        """
        async with self._database.read() as transaction:
            document = await self._transcript_document(transaction, organization_id, encounter_id, document_id)
            version = await self._version(transaction, document)
        if version is None:
            raise LookupRefusedError(LookupReason.AUDIO_NOT_AVAILABLE_FOR_DOCUMENT)
        try:
            url, expires_at = await self._addresses.url(organization_id, encounter_id, version.recording_id)
        except (NotFoundError, EmptyAudioError):
            raise LookupRefusedError(LookupReason.AUDIO_NOT_AVAILABLE_FOR_DOCUMENT) from None
        except ErasedError:
            raise LookupRefusedError(LookupReason.AUDIO_NOT_FOUND) from None
        except CorruptedError as error:  # it is there no more as it was; the log tells who can put it back
            logger.error("damaged recording", extra={"encounter_id": encounter_id, "error": type(error)})
            raise LookupRefusedError(LookupReason.AUDIO_NOT_FOUND) from None
        except BlobsUnavailableError:
            raise LookupRefusedError(LookupReason.AUDIO_STORAGE_UNAVAILABLE) from None
        return PublicAudio(url, expires_at)

    async def _standing(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str | None = None
    ) -> PublicStanding:
        """Return an encounter that may be shown. The order of these checks is the contract's."""
        if not _is_id(encounter_id):
            raise LookupRefusedError(LookupReason.ENCOUNTER_NOT_FOUND)
        if document_id is not None and not _is_id(document_id):
            document_id = None
        standing = await self._public.standing(transaction, encounter_id, document_id)
        # An erased one is gone for everybody: that it was another organization's is no one's business any more.
        if standing is None or standing.is_erased:
            raise LookupRefusedError(LookupReason.ENCOUNTER_NOT_FOUND)
        if standing.organization_id != organization_id:
            raise LookupRefusedError(LookupReason.CROSS_ORGANIZATION_DENIED)
        if not standing.is_care:
            raise LookupRefusedError(LookupReason.DEMO_TRAINING_DENIED)
        return standing

    async def _document(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> tuple[WorkflowVariant, ReleasedDocument]:
        standing = await self._standing(transaction, organization_id, encounter_id, document_id)
        if standing.document is None:
            raise LookupRefusedError(LookupReason.DOCUMENT_NOT_FOUND)
        return projection.variant_of(standing.transcribe_mode), standing.document

    async def _transcript_document(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> ReleasedDocument:
        _, document = await self._document(transaction, organization_id, encounter_id, document_id)
        if document.kind is not ReleasedKind.TRANSCRIPT:
            raise LookupRefusedError(LookupReason.UNSUPPORTED_DOCUMENT_TYPE)
        return document

    async def _version(self, transaction: Transaction, document: ReleasedDocument) -> TranscriptVersion | None:
        try:
            return await self._transcripts.get(transaction, document.organization_id, document.source_id)
        except (NotFoundError, ErasedError):
            return None

    async def _content(self, transaction: Transaction, document: ReleasedDocument) -> WrittenText:
        """Return the version that is shown, however many newer ones there are."""
        try:
            content = await self._source(transaction, document)
        except NotFoundError:
            content = None
        if content is None:
            raise LookupRefusedError(LookupReason.DOCUMENT_NOT_FOUND)
        return content

    async def _markdown(self, content: WrittenText) -> str:
        if content.content_type is ContentType.HTML:  # which a client wrote, of whatever length
            return await asyncio.to_thread(projection.markdown, content)
        return projection.markdown(content)

    async def _source(self, transaction: Transaction, document: ReleasedDocument) -> WrittenText | None:
        organization_id, source_id = document.organization_id, document.source_id
        if document.slot == NOTE:
            return (await self._notes.get(transaction, organization_id, source_id)).content
        assert document.slot.startswith(DOCUMENT)
        found = await self._documents.get(transaction, organization_id, document.encounter_id, source_id)
        return found.content


def _is_id(text: str) -> bool:
    """Say whether a text could be an id at all: whatever else is asked for need not bother a database."""
    return bool(_ID.fullmatch(text))


def _in_utc(at: datetime) -> datetime:
    """Return a time in UTC; one that lies outside of what UTC can say is as good as the first or last that it can."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return (datetime.min if at.year < 5000 else datetime.max).replace(tzinfo=UTC)
