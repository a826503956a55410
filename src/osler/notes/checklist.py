"""What a visit covered, item by item: consent, identity, allergies, medicines, follow-up; each found with its words."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from osler.encounters.model import EncounterState
from osler.encounters.ports import EncounterRepository
from osler.encounters.service import ERASED
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import ErasedError, NotFoundError
from osler.kernel.ids import derived_id
from osler.kernel.transactions import Database, Transaction
from osler.notes.model import Evidence
from osler.speech.model import Transcript, TranscriptVersion
from osler.speech.ports import TranscriptRepository

_log: Final = logging.getLogger(__name__)


class ChecklistName(StrEnum):
    """The items, in the order in which they stand in every checklist."""

    CONSENT = "consent"
    IDENTITY = "identity"
    ALLERGIES = "allergies"
    MEDICATIONS_REVIEWED = "medications_reviewed"
    FOLLOW_UP_GIVEN = "follow_up_given"


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """One item. ``found``: the visit holds it, and ``evidence`` quotes where.

    Found means addressed and answered: allergies are found where the patient was asked and said "none", too. Consent is
    found only where it was given. Where it was asked for and refused, or taken back later in the visit, it is not
    found; ``refused`` says so and ``evidence`` quotes the refusal. Any other item that is not found has no evidence.
    """

    name: ChecklistName
    found: bool
    evidence: tuple[Evidence, ...] = ()
    refused: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name.value,
            "found": self.found,
            "refused": self.refused,
            "evidence": [piece.to_json() for piece in self.evidence],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ChecklistItem":
        """Read what :meth:`to_json` wrote. Raises KeyError on a missing field."""
        return cls(
            ChecklistName(data["name"]),
            data["found"] is True,
            tuple(Evidence.from_json(piece) for piece in data["evidence"]),
            data["refused"] is True,
        )


@dataclass(frozen=True, slots=True)
class EncounterChecklist:
    """What a visit covered, by the words of one transcript version; an encounter has one. The items are sealed at rest.

    ``id`` is the same whenever the encounter's checklist is made anew; ``created_at`` is that of the transcript
    version, so that an erasure covers both or neither.
    """

    id: str
    organization_id: str
    encounter_id: str
    transcript_id: str
    created_at: datetime
    items: tuple[ChecklistItem, ...]
    engine: EngineRecord


class ChecklistReader(Protocol):
    """Reads a transcript for what it covers. Synchronous; calls from several threads at once are independent."""

    @property
    def record(self) -> EngineRecord: ...

    def read(self, transcript: Transcript) -> tuple[ChecklistItem, ...]:
        """Return every item of :class:`ChecklistName` once, in that order; the same input gives the same output."""
        ...


class ChecklistRepository(Protocol):
    """The checklists of encounters, at most one each."""

    async def save(self, transaction: Transaction, checklist: EncounterChecklist) -> None:
        """Write, or replace the encounter's; the key of what is replaced is destroyed."""
        ...

    async def get(self, transaction: Transaction, organization_id: str, encounter_id: str) -> EncounterChecklist | None:
        """Return the encounter's checklist; None before there is one, or when it was erased."""
        ...


@dataclass(frozen=True, slots=True)
class ReadItems:
    """What a transcript covers, and what read it."""

    items: tuple[ChecklistItem, ...]
    engine: EngineRecord


class ChecklistService:
    """Makes checklists of transcripts, keeps and shows them."""

    def __init__(
        self,
        *,
        database: Database,
        checklists: ChecklistRepository,
        transcripts: TranscriptRepository,
        encounters: EncounterRepository,
        load_reader: Callable[[], ChecklistReader],
    ) -> None:
        """``load_reader`` returns the engine, the same each time; it is called in a thread and may take long."""
        self._database = database
        self._checklists = checklists
        self._transcripts = transcripts
        self._encounters = encounters
        self._load_reader = load_reader

    async def read(self, transcript: Transcript) -> ReadItems | None:
        """Read what a transcript covers, in a thread; to be called outside of any transaction.

        None if that failed, which is logged: a transcript is worth more than its checklist.
        """

        def work() -> ReadItems:
            reader = self._load_reader()
            return ReadItems(reader.read(transcript), reader.record)

        try:
            return await asyncio.to_thread(work)
        except Exception as error:  # noqa: BLE001
            _log.error("the checklist of a transcript could not be made", exc_info=error)
            return None

    async def store(self, transaction: Transaction, version: TranscriptVersion, read: ReadItems) -> EncounterChecklist:
        """Keep what a transcript version covers in place of the encounter's former checklist.

        The caller holds the encounter, and the version is the one in use.
        """
        checklist = EncounterChecklist(
            id=derived_id("checklist", version.organization_id, version.encounter_id),
            organization_id=version.organization_id,
            encounter_id=version.encounter_id,
            transcript_id=version.id,
            created_at=version.created_at,
            items=read.items,
            engine=read.engine,
        )
        await self._checklists.save(transaction, checklist)
        return checklist

    async def get(self, organization_id: str, encounter_id: str) -> EncounterChecklist:
        """Return the checklist of an encounter's transcript in use. Whether the caller may see it is not asked.

        One of another transcript, which is left where reading the newest one failed, is not shown.

        Raises NotFoundError (also: there is none), ErasedError.
        """
        async with self._database.read() as transaction:
            encounter = await self._encounters.get(transaction, organization_id, encounter_id)
            if encounter.state is EncounterState.ERASED:
                raise ErasedError(ERASED)
            checklist = await self._checklists.get(transaction, organization_id, encounter_id)
            version = await self._transcripts.current(transaction, organization_id, encounter_id)
        if checklist is None or version is None or version.id != checklist.transcript_id:
            raise NotFoundError(
                "There is no checklist of this session: it has no final transcript, or reading it failed."
            )
        return checklist
