"""What the encounters room needs from storage and engines."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from osler.encounters.model import (
    ContextDocument,
    Encounter,
    EncounterFilter,
    EncounterStanding,
    Erasure,
    ParsedDocument,
    PatientProfile,
    UnfinishedErasure,
)
from osler.kernel.engine_record import EngineRecord
from osler.kernel.pages import Page, Position
from osler.kernel.transactions import Transaction


class EncounterRepository(Protocol):
    """Encounters. An erased one is a tombstone: get and lock return it, with its state and nothing sealed left."""

    async def add(self, transaction: Transaction, encounter: Encounter) -> None: ...

    async def get(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Encounter:
        """Raises NotFoundError."""
        ...

    async def lock(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Encounter:
        """As get, held against other writers until the transaction ends. Raises NotFoundError."""
        ...

    async def save(self, transaction: Transaction, encounter: Encounter) -> Encounter:
        """Write every field of a locked encounter; returns it with its new revision."""
        ...

    async def list(
        self,
        transaction: Transaction,
        organization_id: str,
        wanted: EncounterFilter,
        *,
        limit: int = 50,
        after: Position | None = None,
        offset: int = 0,
        newest_first: bool = True,
    ) -> Page[Encounter]:
        """Return one page by time of creation, then id: after ``after``, or from ``offset``."""
        ...

    async def count(self, transaction: Transaction, organization_id: str, wanted: EncounterFilter) -> int: ...

    async def unlink_profile(self, transaction: Transaction, organization_id: str, profile_id: str) -> int:
        """Take a deleted profile's link from its encounters, which keep their own data; returns how many."""
        ...

    async def due_for_consent_erasure(
        self, transaction: Transaction, now: datetime, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Return organization and id of encounters, of any organization, whose grace after a withdrawal of consent is
        over. Nothing sealed is opened: a damaged one must not keep the others."""
        ...

    async def due_for_retention(
        self, transaction: Transaction, organization_id: str, received_before: datetime, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Return organization and id of encounters whose audio, all that there is of it, came before that time.

        Nothing sealed is opened.
        """
        ...


class PatientProfileRepository(Protocol):
    """Patient profiles."""

    async def add(self, transaction: Transaction, profile: PatientProfile) -> None: ...

    async def get(self, transaction: Transaction, organization_id: str, profile_id: str) -> PatientProfile:
        """Raises NotFoundError."""
        ...

    async def lock(self, transaction: Transaction, organization_id: str, profile_id: str) -> PatientProfile:
        """As get, held against other writers. Raises NotFoundError."""
        ...

    async def save(self, transaction: Transaction, profile: PatientProfile) -> None: ...

    async def list(
        self,
        transaction: Transaction,
        organization_id: str,
        *,
        owner_id: str | None = None,
        ehr_patient_id: str | None = None,
        provider: str | None = None,
        limit: int = 50,
        after: Position | None = None,
        offset: int = 0,
        newest_first: bool = False,
    ) -> Page[PatientProfile]:
        """Return one page by time of creation, then id; the filters are exact, by blind index."""
        ...

    async def count(
        self,
        transaction: Transaction,
        organization_id: str,
        *,
        owner_id: str | None = None,
        ehr_patient_id: str | None = None,
        provider: str | None = None,
    ) -> int: ...


class ContextDocumentRepository(Protocol):
    """Context documents of an encounter."""

    async def add(self, transaction: Transaction, document: ContextDocument) -> None: ...

    async def get(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> ContextDocument:
        """Raises NotFoundError."""
        ...

    async def lock(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> ContextDocument:
        """As get, held against other writers. Raises NotFoundError."""
        ...

    async def save(self, transaction: Transaction, document: ContextDocument) -> None: ...

    async def list(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> Sequence[ContextDocument]: ...

    async def delete(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_ids: Sequence[str]
    ) -> Sequence[str]:
        """Destroy keys and rows; returns the ids of the blobs to remove after the commit."""
        ...


class DocumentParser(Protocol):
    """Reads context documents: what type a file is, its content says."""

    @property
    def record(self) -> EngineRecord:
        """What reads, with its limits."""
        ...

    def parse(self, file: BinaryIO) -> ParsedDocument:
        """Return a document's text, in NFC and reading order, with tabs or bars between the cells of a table.

        Raises UnreadableDocumentError, MissingExtraError, EngineError (``retryable`` if the machine is to blame).
        """
        ...


class EncounterEraser(Protocol):
    """Destroys what belongs to an encounter, over all rooms' tables, and profiles and documents by themselves.

    It keeps account of that in the database.
    """

    async def lock(self, transaction: Transaction, organization_id: str, encounter_id: str) -> EncounterStanding:
        """Return how the encounter stands, held against other writers; opens nothing sealed. Raises NotFoundError."""
        ...

    async def destroy(
        self, transaction: Transaction, erasure: Erasure, *, created_before: datetime | None = None
    ) -> bool:
        """Destroy keys and sealed fields that the erasure's scope covers, make tombstones, note it as applied.

        What ``erasure.kept`` names stays, and what is signed, unless the scope is everything. ``created_before``
        spares what came after the erasure, when it is applied again. False, and nothing done but the note, if this
        erasure was applied already or its subject is not there.
        """
        ...

    async def applied(self, transaction: Transaction) -> frozenset[str]:
        """Return the ids of all erasures that were applied to this database."""
        ...

    async def unfinished(self, transaction: Transaction, limit: int) -> Sequence[UnfinishedErasure]:
        """Return erasures that were applied, oldest first, whose blobs and traces may still be there."""
        ...

    async def finish(self, transaction: Transaction, erasure_ids: Sequence[str], at: datetime) -> None:
        """Note that blobs and traces of these erasures are gone."""
        ...

    async def known_blobs(self, transaction: Transaction, blob_ids: Sequence[str]) -> frozenset[str]:
        """Return those of ``blob_ids`` that any row, in any room, refers to; the others are orphans of a crash."""
        ...

    async def erase_traces(self) -> None:
        """Leave nothing of what was destroyed in the database's files (free pages, write-ahead log).

        Raises DatabaseUnavailableError if other work keeps it from that.
        """
        ...


class ErasureLedger(Protocol):
    """The list of erasures, kept beside the blobs and outside the database; append-only. Ids only, no PHI."""

    async def append(self, erasure: Erasure) -> None:
        """Durable on return. Raises BlobsUnavailableError, StorageFullError."""
        ...

    async def ids(self) -> Sequence[str]:
        """Return the ids of all erasures, oldest first, without reading them. Raises BlobsUnavailableError."""
        ...

    async def get(self, erasure_id: str) -> Erasure:
        """Raises BlobsUnavailableError, and CorruptedError for an entry that Osler did not write."""
        ...


class BlobInventory(Protocol):
    """Lists what is in the blob store. All methods raise BlobsUnavailableError."""

    def list(self, older_than: datetime) -> AsyncIterator[str]:
        """Yield the ids of objects last written before ``older_than``, in no order."""
        ...

    async def remove_unfinished(self, older_than: datetime) -> int:
        """Remove what uploads that broke off before ``older_than`` left behind; return how many."""
        ...
