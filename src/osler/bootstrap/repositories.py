"""The rows that services stand on: one repository a table or few, on the deployment's keys."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osler.bootstrap.adapters import Adapters

if TYPE_CHECKING:
    from osler.storage.repositories.access import SqlOrganizationRepository, SqlUserRepository
    from osler.storage.repositories.audio import SqlRecordingRepository
    from osler.storage.repositories.audit import SqlAuditRepository
    from osler.storage.repositories.checklists import SqlChecklistRepository
    from osler.storage.repositories.coding import SqlCodeSetRepository
    from osler.storage.repositories.context import SqlContextDocumentRepository
    from osler.storage.repositories.encounters import SqlEncounterRepository
    from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository
    from osler.storage.repositories.profiles import SqlPatientProfileRepository
    from osler.storage.repositories.release import SqlReleaseRepository
    from osler.storage.repositories.sealed import SealedRows
    from osler.storage.repositories.speech import SqlTranscriptRepository


@dataclass(frozen=True, slots=True)
class Repositories:
    """What more than one service reads or writes."""

    sealed: "SealedRows"
    audit: "SqlAuditRepository"
    organizations: "SqlOrganizationRepository"
    users: "SqlUserRepository"
    encounters: "SqlEncounterRepository"
    profiles: "SqlPatientProfileRepository"
    context: "SqlContextDocumentRepository"
    recordings: "SqlRecordingRepository"
    transcripts: "SqlTranscriptRepository"
    notes: "SqlNoteRepository"
    documents: "SqlDocumentRepository"
    codes: "SqlCodeSetRepository"
    checklists: "SqlChecklistRepository"
    releases: "SqlReleaseRepository"


def repositories(parts: Adapters) -> Repositories:
    """Return the repositories of a deployment. Nothing is read."""
    from osler.storage.repositories.access import SqlOrganizationRepository, SqlUserRepository
    from osler.storage.repositories.audio import SqlRecordingRepository
    from osler.storage.repositories.audit import SqlAuditRepository
    from osler.storage.repositories.checklists import SqlChecklistRepository
    from osler.storage.repositories.coding import SqlCodeSetRepository
    from osler.storage.repositories.context import SqlContextDocumentRepository
    from osler.storage.repositories.encounters import SqlEncounterRepository
    from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository
    from osler.storage.repositories.profiles import SqlPatientProfileRepository
    from osler.storage.repositories.release import SqlReleaseRepository
    from osler.storage.repositories.sealed import SealedRows
    from osler.storage.repositories.speech import SqlTranscriptRepository

    sealed = SealedRows(parts.keyring, parts.clock)
    return Repositories(
        sealed=sealed,
        audit=SqlAuditRepository(),
        organizations=SqlOrganizationRepository(),
        users=SqlUserRepository(sealed, parts.secret),
        encounters=SqlEncounterRepository(sealed, parts.secret),
        profiles=SqlPatientProfileRepository(sealed, parts.secret),
        context=SqlContextDocumentRepository(sealed, parts.clock),
        recordings=SqlRecordingRepository(sealed),
        transcripts=SqlTranscriptRepository(sealed),
        notes=SqlNoteRepository(sealed),
        documents=SqlDocumentRepository(sealed),
        codes=SqlCodeSetRepository(sealed),
        checklists=SqlChecklistRepository(sealed),
        releases=SqlReleaseRepository(sealed),
    )
