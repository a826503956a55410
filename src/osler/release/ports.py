"""What the release room needs from storage."""

from collections.abc import Sequence
from typing import Protocol

from osler.kernel.transactions import Transaction
from osler.release.model import ReleasedDocument


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
