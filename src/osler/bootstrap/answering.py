"""What answers forms and questions, on its engines."""

from typing import TYPE_CHECKING

from osler.bootstrap.adapters import Adapters
from osler.bootstrap.engines import assistant, form_filler

if TYPE_CHECKING:
    from osler.audit.ports import AuditTrail
    from osler.encounters.ports import EncounterRepository
    from osler.notes.ask_service import AskService
    from osler.notes.form_records import FormService
    from osler.notes.gathering import SourceService
    from osler.notes.ports import DocumentRepository, NoteRepository


def answering(
    parts: Adapters,
    sources: "SourceService",
    encounters: "EncounterRepository",
    notes: "NoteRepository",
    documents: "DocumentRepository",
    audit: "AuditTrail",
) -> "tuple[FormService, AskService]":
    """Return the services of forms and of questions."""
    from osler.notes.ask_service import AskService
    from osler.notes.form_records import FormService

    forms = FormService(
        database=parts.database,
        sources=sources,
        answers=documents,
        encounters=encounters,
        load_filler=form_filler,
        audit=audit,
        clock=parts.clock,
    )
    asking = AskService(database=parts.database, sources=sources, notes=notes, load_assistant=assistant)
    return forms, asking
