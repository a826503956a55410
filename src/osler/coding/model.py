"""Clinical codes with the words that earn them. Plain types."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class CodingStatus(StrEnum):
    """Where the coding of a note in one system stands."""

    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CodeSet:
    """The codes of a visit in one coding system. ``entities`` (JSON types) is sealed, as it quotes the visit.

    ``note_id`` is the note version that was coded, None where there was only a transcript. ``basis`` stands for all
    that the codes rest on (note, transcript, coder, release of the terminology): with another one the visit is coded
    anew. It is empty while a note or transcript is waited for. ``failure`` is an error code, or says what to do.
    """

    id: str
    organization_id: str
    encounter_id: str
    coding_system: str
    created_at: datetime
    status: CodingStatus
    note_id: str | None = None
    entities: tuple[Mapping[str, Any], ...] = ()
    failure: str | None = None
    basis: str = ""
