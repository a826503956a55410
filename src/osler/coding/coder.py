"""What a coder is given and gives back: conditions with their codes, and the words that earn each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any, Protocol

from osler.coding.terminology import Terminology
from osler.kernel.engine_record import EngineRecord
from osler.notes.model import Finding
from osler.speech.model import Transcript


class Setting(StrEnum):
    """Where the patient was seen. The Official Guidelines for Coding let a hospital stay code what is uncertain at
    discharge ("probable", "consistent with": II.H), and an outpatient visit not (IV.H).
    """

    OUTPATIENT = "outpatient"
    INPATIENT = "inpatient"


class ReferenceSource(StrEnum):
    """The text in which the words stand."""

    TRANSCRIPT = "TRANSCRIPT"
    CONSULT_NOTE = "CONSULT_NOTE"


@dataclass(frozen=True, slots=True)
class Reference:
    """The words that earn a code: ``text[start:end] == quote`` in code points, of the note, or of turn ``turn``."""

    source: ReferenceSource
    quote: str
    start: int
    end: int
    turn: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "source": self.source.value,
            "quote": self.quote,
            "start": self.start,
            "end": self.end,
            "turn": self.turn,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Reference":
        """Read what :meth:`to_json` wrote."""
        turn = data["turn"]
        return cls(
            ReferenceSource(data["source"]),
            str(data["quote"]),
            int(data["start"]),
            int(data["end"]),
            None if turn is None else int(turn),
        )


@dataclass(frozen=True, slots=True)
class RankedCode:
    """A code for a condition. ``score`` is 0 to 1; ``hierarchy`` the codes above it, the outermost first."""

    code: str
    description: str
    coding_system: str
    score: float
    valid: bool
    effective_date: date | None = None
    hierarchy: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "code": self.code,
            "description": self.description,
            "coding_system": self.coding_system,
            "score": round(self.score, 3),
            "valid": self.valid,
            "effective_date": self.effective_date.isoformat() if self.effective_date else None,
            "hierarchy": list(self.hierarchy),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RankedCode":
        """Read what :meth:`to_json` wrote."""
        effective = data["effective_date"]
        return cls(
            str(data["code"]),
            str(data["description"]),
            str(data["coding_system"]),
            float(data["score"]),
            data["valid"] is True,
            date.fromisoformat(effective) if effective else None,
            tuple(data["hierarchy"]),
        )


@dataclass(frozen=True, slots=True)
class CodedEntity:
    """One condition: its words, its code, up to five others that come close, and the words that earn it.

    ``hint`` says which detail, if it were noted, would allow a more specific code. ``conflicts`` are the codes of other
    entities that an Excludes1 note forbids beside this one.
    """

    entity: str
    primary: RankedCode
    similar: tuple[RankedCode, ...] = ()
    references: tuple[Reference, ...] = ()
    hint: str | None = None
    conflicts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "entity": self.entity,
            "primary": self.primary.to_json(),
            "similar": [code.to_json() for code in self.similar],
            "references": [reference.to_json() for reference in self.references],
            "hint": self.hint,
            "conflicts": list(self.conflicts),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CodedEntity":
        """Read what :meth:`to_json` wrote."""
        return cls(
            str(data["entity"]),
            RankedCode.from_json(data["primary"]),
            tuple(RankedCode.from_json(code) for code in data["similar"]),
            tuple(Reference.from_json(reference) for reference in data["references"]),
            data["hint"],
            tuple(data["conflicts"]),
        )


@dataclass(frozen=True, slots=True)
class CodingTask:
    """What is to be coded: the note's Markdown as it is served, the transcript with what was found in it, or both.

    Where there is a note, the conditions are those that it names, and the transcript adds references; without one the
    problems and complaints that were found in the transcript are coded.
    """

    note: str = ""
    transcript: Transcript | None = None
    findings: Sequence[Finding] = ()
    setting: Setting = Setting.OUTPATIENT


class Coder(Protocol):
    """Codes a visit. Called from a thread; the same task gives the same codes."""

    @property
    def record(self) -> EngineRecord: ...

    def code(self, task: CodingTask, terminology: Terminology) -> list[CodedEntity]:
        """Return the patient's own present conditions with their codes, in the order of the note.

        Raises NoClinicalContentError if there is neither a note nor a transcript with words.
        """
        ...


def with_conflicts(entities: Sequence[CodedEntity], terminology: Terminology) -> list[CodedEntity]:
    """Return the entities, each with the codes of the others that an Excludes1 note forbids beside it."""
    flagged = []
    for entity in entities:
        others = {e.primary.code for e in entities if e.primary.code != entity.primary.code}
        clash = tuple(sorted(c for c in others if terminology.excludes1(entity.primary.code, c)))
        flagged.append(replace(entity, conflicts=clash))
    return flagged
