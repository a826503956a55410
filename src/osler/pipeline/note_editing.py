"""The arrow from a person's edit to the note that is shown: a new version, and what depends on it, at once."""

from osler.audit.model import Actor
from osler.encounters.service import EncounterService
from osler.kernel.transactions import Database
from osler.notes.model import NoteVersion
from osler.notes.records import NoteRecordService
from osler.release.service import ReleaseService


class NoteEditing:
    """Stores what a clinician wrote or changed, and shows it to outsiders if the organization releases by itself."""

    def __init__(
        self,
        *,
        database: Database,
        encounters: EncounterService,
        notes: NoteRecordService,
        release: ReleaseService,
    ) -> None:
        self._database = database
        self._encounters = encounters
        self._notes = notes
        self._release = release

    async def edit(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        text: str,
        *,
        author_id: str,
        heading: str | None = None,
        user_id: str | None = None,
    ) -> NoteVersion | None:
        """Store ``text`` as the newest version of the note, by its author; None if the current one says just that.

        A note that is being written meanwhile becomes an older version. Raises NotFoundError, ErasedError.
        """
        await self._encounters.get(organization_id, encounter_id, user_id=user_id)
        async with self._database.write() as transaction:
            encounter = await self._encounters.content_allowed(transaction, organization_id, encounter_id)
            note = await self._notes.edit(transaction, actor, encounter, text, author_id=author_id, heading=heading)
            if note is not None:
                await self._release.settle(transaction, encounter)
                await self._release.release_note(transaction, note)
        return note
