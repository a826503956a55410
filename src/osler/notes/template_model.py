"""What a stored template is, and what the library of templates needs from storage."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from osler.kernel.transactions import Transaction
from osler.notes.template_language import read
from osler.notes.template_tree import TemplateText


class TemplateCategory(StrEnum):
    """What is written by it: the note of a visit, or a document beside it."""

    CONSULT_NOTE = "CONSULT_NOTE_TEMPLATE"
    DOCUMENT = "DOCUMENT_TEMPLATE"


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template, which never changes: a changed one is another, of another id.

    ``text`` is in the template language. Without ``organization_id`` and ``created_at`` it is one of Osler's own, which
    every organization has. With ``removed_at`` it stays for the notes that were written by it, and for no new ones.
    """

    id: str
    name: str
    category: TemplateCategory
    text: str
    author_name: str
    organization_id: str | None = None
    created_at: datetime | None = None
    removed_at: datetime | None = None

    @property
    def tree(self) -> TemplateText:
        """The parsed text; the same object for the same text while it is in use often."""
        return _tree(self.text)


@lru_cache(maxsize=256)
def _tree(text: str) -> TemplateText:
    return read(text)[0]


class TemplateRepository(Protocol):
    """The templates of organizations."""

    async def add(self, transaction: Transaction, template: StoredTemplate) -> None:
        """Raises ConflictError if the organization has one of this name that is not removed."""
        ...

    async def get(self, transaction: Transaction, organization_id: str, template_id: str) -> StoredTemplate:
        """Return one, removed or not. Raises NotFoundError."""
        ...

    async def lock(self, transaction: Transaction, organization_id: str, template_id: str) -> StoredTemplate:
        """As get, held against other writers. Raises NotFoundError."""
        ...

    async def save(self, transaction: Transaction, template: StoredTemplate) -> None:
        """Write when it was removed, the one thing that changes."""
        ...

    async def list(self, transaction: Transaction, organization_id: str) -> Sequence[StoredTemplate]:
        """Return those that are not removed, by creation."""
        ...

    async def named(self, transaction: Transaction, organization_id: str, name: str) -> StoredTemplate | None:
        """Return the one of this name that is not removed, held against other writers."""
        ...
