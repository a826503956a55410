"""Templates of organizations as rows."""

from typing import Any

from sqlalchemy import Row, Select, select, update

from osler.kernel.errors import ConflictError, NotFoundError
from osler.kernel.transactions import Transaction
from osler.notes.template_model import StoredTemplate, TemplateCategory
from osler.storage.database import connection_of
from osler.storage.repositories.insertion import insert_unless_there
from osler.storage.tables.templates import templates


class SqlTemplateRepository:
    """The templates of organizations."""

    async def add(self, transaction: Transaction, template: StoredTemplate) -> None:
        """Raises ConflictError if the organization has one of this name that is not removed."""
        values = {
            "id": template.id,
            "organization_id": template.organization_id,
            "created_at": template.created_at,
            "name": template.name,
            "category": template.category.value,
            "text": template.text,
            "author_name": template.author_name,
            "removed_at": template.removed_at,
        }
        if not await insert_unless_there(connection_of(transaction), templates, values):
            raise ConflictError("There is a template of this name; remove it first, or replace it.")

    async def get(self, transaction: Transaction, organization_id: str, template_id: str) -> StoredTemplate:
        """Return one, removed or not. Raises NotFoundError."""
        return await self._one(transaction, _of(organization_id).where(templates.c.id == template_id))

    async def lock(self, transaction: Transaction, organization_id: str, template_id: str) -> StoredTemplate:
        """As get, held against other writers. Raises NotFoundError."""
        query = _of(organization_id).where(templates.c.id == template_id)
        return await self._one(transaction, query.with_for_update())

    async def save(self, transaction: Transaction, template: StoredTemplate) -> None:
        """Write when it was removed, the one thing that changes."""
        await connection_of(transaction).execute(
            update(templates)
            .where(templates.c.organization_id == template.organization_id, templates.c.id == template.id)
            .values(removed_at=template.removed_at)
        )

    async def list(self, transaction: Transaction, organization_id: str) -> tuple[StoredTemplate, ...]:
        """Return those that are not removed, by creation."""
        query = _of(organization_id).where(templates.c.removed_at.is_(None))
        rows = await connection_of(transaction).execute(query.order_by(templates.c.created_at, templates.c.id))
        return tuple(_template(row) for row in rows)

    async def named(self, transaction: Transaction, organization_id: str, name: str) -> StoredTemplate | None:
        """Return the one of this name that is not removed, held against other writers."""
        query = _of(organization_id).where(templates.c.name == name, templates.c.removed_at.is_(None))
        row = (await connection_of(transaction).execute(query.with_for_update())).one_or_none()
        return None if row is None else _template(row)

    async def _one(self, transaction: Transaction, query: Select[Any]) -> StoredTemplate:
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such template.")
        return _template(row)


def _of(organization_id: str) -> Select[Any]:
    return select(templates).where(templates.c.organization_id == organization_id)


def _template(row: Row[Any]) -> StoredTemplate:
    return StoredTemplate(
        id=row.id,
        name=row.name,
        category=TemplateCategory(row.category),
        text=row.text,
        author_name=row.author_name,
        organization_id=row.organization_id,
        created_at=row.created_at,
        removed_at=row.removed_at,
    )
