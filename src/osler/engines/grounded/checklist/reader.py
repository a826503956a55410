"""The grounded reader of checklists: rules over the sentences of a visit; what is found quotes what was said."""

from typing import Final

from osler.engines.grounded.checklist.consent import consent
from osler.engines.grounded.checklist.follow_up import follow_up
from osler.engines.grounded.checklist.identity import identity
from osler.engines.grounded.checklist.lines import Lines
from osler.engines.grounded.checklist.medical import allergies, medications
from osler.kernel.engine_record import EngineRecord
from osler.notes.checklist import ChecklistItem
from osler.speech.model import Transcript

VERSION: Final = "1"
"""Raised when the same transcript would give another checklist."""


class GroundedChecklistReader:
    """Reads what a visit covered; implements ``ChecklistReader``."""

    @property
    def record(self) -> EngineRecord:
        """What reads."""
        return EngineRecord("grounded-checklist", VERSION)

    def read(self, transcript: Transcript) -> tuple[ChecklistItem, ...]:
        """Return every item once, in the order of ``ChecklistName``; the same input gives the same output."""
        lines = Lines(transcript)
        return (consent(lines), identity(lines), allergies(lines), medications(lines), follow_up(lines))
