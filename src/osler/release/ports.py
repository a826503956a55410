"""What the release room needs from storage."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from osler.kernel.transactions import Transaction
from osler.release.model import ReleasedDocument
from osler.release.public_model import PublicRecord, PublicStanding


class ReleaseRepository(Protocol):
    """The documents that outsiders see."""

    async def put(self, transaction: Transaction, document: ReleasedDocument) -> ReleasedDocument:
        """Write the encounter's document of that slot, or show its newer source; returns the row with its stable id."""
        ...

    async def get(self, transaction: Transaction, organization_id: str, document_id: str) -> ReleasedDocument:
        """Raises NotFoundError."""
        ...

    async def of_encounters(
        self, transaction: Transaction, organization_id: str, encounter_ids: Sequence[str]
    ) -> Sequence[ReleasedDocument]:
        """Return the released documents of these encounters, by creation then id."""
        ...

    async def withdraw(self, transaction: Transaction, organization_id: str, encounter_id: str) -> int:
        """Take everything of an encounter from sight; returns how many rows."""
        ...


class PublicRepository(Protocol):
    """What the public API reads, in as few statements as can be. Only care is ever given out; an erased encounter is
    as one that never was."""

    async def page(
        self,
        transaction: Transaction,
        organization_id: str,
        *,
        limit: int,
        offset: int,
        newest_first: bool,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
    ) -> tuple[Sequence[PublicRecord], int]:
        """Return one page by time of creation, then id, and how many encounters there are in all.

        ``start_at`` is the first time of creation that counts, ``end_at`` the first that does not. An encounter that is
        damaged is not on the page, but counts.
        """
        ...

    async def standing(
        self, transaction: Transaction, encounter_id: str, document_id: str | None = None
    ) -> PublicStanding | None:
        """Return what decides whether an encounter of whatever organization may be shown, with that document of it;
        None if there is no such encounter."""
        ...

    async def record(self, transaction: Transaction, organization_id: str, encounter_id: str) -> PublicRecord | None:
        """Return one encounter; None if it is not there, erased, or not of care. Raises CorruptedError."""
        ...
