"""What the coding room needs from storage."""

from collections.abc import Sequence
from typing import Protocol

from osler.coding.model import CodeSet
from osler.kernel.transactions import Transaction


class CodeSetRepository(Protocol):
    """The codes of encounters."""

    async def save(self, transaction: Transaction, codes: CodeSet) -> None:
        """Write, or replace the encounter's codes of the same system."""
        ...

    async def get(
        self, transaction: Transaction, organization_id: str, encounter_id: str, coding_system: str
    ) -> CodeSet | None: ...

    async def of_encounter(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> Sequence[CodeSet]:
        """Return the encounter's codes of every system that was asked for, by system."""
        ...
