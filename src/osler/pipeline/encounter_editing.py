"""The arrow from what a person says of an encounter to how it then stands: fields, note and release, all at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from osler.audit.model import Actor
from osler.coding.service import CodingService
from osler.encounters.model import Encounter
from osler.encounters.service import EncounterService
from osler.kernel.transactions import Transaction
from osler.notes.model import EncounterOverview
from osler.notes.overview import OverviewService
from osler.notes.records import NoteRecordService
from osler.release.service import ReleaseService

SOURCES: Final = frozenset({"clinician_notes", "linked_encounter_ids"})
"""Fields of an encounter that notes are written from."""


@dataclass(frozen=True, slots=True)
class EditedNote:
    """The note as a person wrote or changed it. ``heading`` None: as it was."""

    text: str
    heading: str | None = None


class EncounterEditing:
    """Takes changes of fields and of the note in one transaction; what cannot be taken whole changes nothing."""

    def __init__(
        self,
        *,
        encounters: EncounterService,
        notes: NoteRecordService,
        release: ReleaseService,
        overviews: OverviewService,
        coding: CodingService | None = None,
    ) -> None:
        """``coding`` has codes made anew that rest on the note."""
        self._coding = coding
        self._encounters = encounters
        self._notes = notes
        self._release = release
        self._overviews = overviews

    async def change(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        changes: Mapping[str, Any],
        *,
        user_id: str,
        note: EditedNote | None = None,
    ) -> EncounterOverview:
        """Change the fields that are named, store ``note`` as the newest version by ``user_id``, return what stands.

        A note that says what the current one says is no new version; one that is being written meanwhile becomes an
        older one. An edited note is shown to outsiders if the organization releases by itself. That the actor is
        shown the encounter leaves a trace too. Where what is written from changed, what was written becomes stale.

        Raises what :meth:`osler.encounters.service.EncounterService.change` raises.
        """
        seen: list[EncounterOverview] = []

        async def finish(transaction: Transaction, before: Encounter, now: Encounter) -> None:
            if note is not None:
                await self._edit(transaction, actor, organization_id, encounter_id, note, user_id)
            if any(getattr(now, name) != getattr(before, name) for name in SOURCES):
                await self._notes.sources_changed(transaction, organization_id, encounter_id)
            elif note is None:  # nothing was added to what was seen when the encounter was locked
                seen.append(await self._overviews.of_locked(transaction, now))
                return
            seen.append(await self._overviews.within(transaction, organization_id, encounter_id))

        await self._encounters.change(
            actor, organization_id, encounter_id, changes, user_id=user_id, shown=True, finish=finish
        )
        return seen[-1]

    async def _edit(
        self,
        transaction: Transaction,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        note: EditedNote,
        author_id: str,
    ) -> None:
        encounter = await self._encounters.content_allowed(transaction, organization_id, encounter_id)
        stored = await self._notes.edit(
            transaction, actor, encounter, note.text, author_id=author_id, heading=note.heading
        )
        if stored is not None:
            await self._release.settle(transaction, encounter)
            await self._release.release_note(transaction, stored)
            if self._coding is not None:
                await self._coding.follow(transaction, organization_id, encounter_id)
