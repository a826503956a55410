"""The templates that notes and documents are written by: Osler's own, and those that an organization adds."""

import tomllib
import unicodedata
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

from osler.access.ports import OrganizationRepository
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, InvalidFieldError, NotFoundError
from osler.kernel.ids import new_id
from osler.kernel.transactions import Database
from osler.notes.template_language import Problem, parse, read
from osler.notes.template_model import StoredTemplate, TemplateCategory, TemplateRepository
from osler.notes.template_placeholders import unresolved

AUTHOR: Final = "Osler"
MOST_NAME: Final = 200
MOST_TEMPLATES: Final = 1_000
"""Templates of one organization that are not removed."""

_FENCE: Final = "+++\n"


class TemplateService:
    """Templates by organization. Every change leaves an audit event in its own transaction."""

    def __init__(
        self,
        *,
        database: Database,
        templates: TemplateRepository,
        organizations: OrganizationRepository,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._templates = templates
        self._organizations = organizations
        self._audit = audit
        self._clock = clock

    async def list(self, organization_id: str) -> tuple[StoredTemplate, ...]:
        """Return Osler's own, then the organization's by creation. Raises NotFoundError (the organization)."""
        async with self._database.read() as transaction:
            await self._organizations.get(transaction, organization_id)
            return (*built_in_templates(), *await self._templates.list(transaction, organization_id))

    async def get(self, organization_id: str, template_id: str, *, removed: bool = False) -> StoredTemplate:
        """Return one of Osler's own or of the organization's; with ``removed`` also one that was removed.

        Raises NotFoundError.
        """
        for template in built_in_templates():
            if template.id == template_id:
                return template
        async with self._database.read() as transaction:
            template = await self._templates.get(transaction, organization_id, template_id)
        if template.removed_at is not None and not removed:
            raise _not_found()
        return template

    async def add(
        self,
        actor: Actor,
        organization_id: str,
        name: str,
        category: TemplateCategory,
        text: str,
        author_name: str,
        *,
        replace_same_name: bool = False,
    ) -> tuple[StoredTemplate, tuple[Problem, ...]]:
        """Add a template; return it with the warnings about its text.

        With ``replace_same_name`` the one of this name is removed in the same transaction.
        Raises InvalidFieldError (``template`` names line and column of the first error; :func:`check` gives all),
        NotFoundError (the organization), ConflictError if the name is taken.
        """
        text = without_mark(text)
        parse(text)
        template = StoredTemplate(
            id=new_id(),
            name=_checked_line("name", "name of a template", name),
            category=category,
            text=text,
            author_name=_checked_line("author_name", "author of a template", author_name),
            organization_id=organization_id,
            created_at=self._clock.now(),
        )
        if any(template.name.casefold() == own.name.casefold() for own in built_in_templates()):
            raise ConflictError("One of Osler's own templates has this name; choose another.")
        async with self._database.write() as transaction:
            # Held, so that two that are added at once are counted one after the other.
            await self._organizations.lock(transaction, organization_id)
            former = await self._templates.named(transaction, organization_id, template.name)
            if former is not None:
                if not replace_same_name:
                    raise ConflictError("There is a template of this name; remove it first, or replace it.")
                await self._templates.save(transaction, replace(former, removed_at=self._clock.now()))
            if len(await self._templates.list(transaction, organization_id)) >= MOST_TEMPLATES:
                raise ConflictError(f"There are {MOST_TEMPLATES} templates already; remove one first.")
            await self._templates.add(transaction, template)
            events = [] if former is None else [self._event(actor, former, "template.removed")]
            await self._audit.append(transaction, [*events, self._event(actor, template, "template.added")])
        return template, check(text)

    async def remove(self, actor: Actor, organization_id: str, template_id: str) -> StoredTemplate:
        """Take a template out of the list; once is enough. It stays for the notes that were written by it.

        Raises NotFoundError, ConflictError for one of Osler's own.
        """
        if any(template_id == own.id for own in built_in_templates()):
            raise ConflictError("This is one of Osler's own templates, which cannot be removed.")
        async with self._database.write() as transaction:
            template = await self._templates.lock(transaction, organization_id, template_id)
            if template.removed_at is not None:
                return template
            template = replace(template, removed_at=self._clock.now())
            await self._templates.save(transaction, template)
            await self._audit.append(transaction, [self._event(actor, template, "template.removed")])
        return template

    def _event(self, actor: Actor, template: StoredTemplate, action: str) -> AuditEvent:
        return AuditEvent(
            organization_id=str(template.organization_id),
            actor=actor,
            action=action,
            at=self._clock.now(),
            subject={"template": template.id},
            detail={"category": template.category.value},
        )


def check(text: str) -> tuple[Problem, ...]:
    """Return all that is wrong with a template's text, in its order; warnings are among it."""
    tree, problems = read(without_mark(text))
    found = [*problems, *unresolved(tree)]
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))


def without_mark(text: str) -> str:
    """Return the text without the byte order mark that some editors put before it."""
    return text.removeprefix("\ufeff")


@cache
def built_in_templates() -> tuple[StoredTemplate, ...]:
    """Return Osler's own templates: those for notes first, the most general first of all."""
    folder = files("osler.notes").joinpath("data", "library")
    found = [_read_file(each.read_text(encoding="utf-8")) for each in folder.iterdir() if each.name.endswith(".txt")]
    return tuple(template for _, template in sorted(found, key=lambda each: each[0]))


def _read_file(content: str) -> tuple[int, StoredTemplate]:
    """Read a file of the library: a TOML header between two lines of ``+++``, then the template."""
    before, header, text = content.split(_FENCE, 2)
    if before:
        raise ValueError("a file of the template library does not begin with its header")
    data: dict[str, Any] = tomllib.loads(header)
    parse(text)
    category = TemplateCategory(data["category"])
    return int(data["order"]), StoredTemplate(data["id"], data["name"], category, text, AUTHOR)


def _checked_line(field: str, label: str, value: str) -> str:
    value = unicodedata.normalize("NFC", value.strip())
    if not value:
        raise InvalidFieldError(field, f"The {label} must not be empty.")
    if len(value) > MOST_NAME:
        raise InvalidFieldError(field, f"The {label} is longer than {MOST_NAME} characters.")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in value):
        raise InvalidFieldError(field, f"The {label} holds characters that are not text.")
    return value


def _not_found() -> NotFoundError:
    return NotFoundError("There is no such template.")
