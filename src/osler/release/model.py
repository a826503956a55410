"""What outsiders may read: one row per released document. Plain types."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

TRANSCRIPT: Final = "transcript"
NOTE: Final = "note"
BILLING: Final = "billing"
CHECKLIST: Final = "checklist"
DOCUMENT: Final = "document:"
"""Slots of an encounter; that of a generated document is followed by its id."""


class ReleasedKind(StrEnum):
    """Kinds of documents that the public API speaks of."""

    TRANSCRIPT = "ambient_transcript"
    DOCUMENT = "document"
    BILLING = "billing"
    CHECKLIST = "encounter_checklist"


@dataclass(frozen=True, slots=True)
class ReleasedDocument:
    """A document that is readable from outside since ``released_at``. ``id`` is stable for the thing it stands for.

    ``slot`` names that thing within the encounter: ``transcript``, ``note``, ``document:<id>``, ``billing``,
    ``checklist``; there is one row per slot. ``source_id`` is the version that is shown (a transcript's, note's or
    document's id) and changes when a newer one is released, which is ``updated_at``. ``audio_duration`` is seconds of
    the recording of a transcript, where they are known. ``title`` None: that of the kind (a generated document has one
    of its own, sealed under its encounter's key).
    """

    id: str
    organization_id: str
    encounter_id: str
    kind: ReleasedKind
    slot: str
    source_id: str
    created_at: datetime
    released_at: datetime
    updated_at: datetime
    audio_duration: float | None = None
    title: str | None = None
