"""Templates of organizations on both databases: added, listed, replaced, removed, and kept for old notes."""

import asyncio
from pathlib import Path

import pytest

from osler.audit.model import OPERATOR
from osler.kernel.errors import ConflictError, InvalidFieldError, NotFoundError
from osler.notes.template_library import TemplateService, built_in_templates
from osler.notes.template_model import StoredTemplate, TemplateCategory
from osler.storage.database import SqlDatabase
from osler.storage.repositories.templates import SqlTemplateRepository
from tests.access_lab import NOON, AccessLab

pytestmark = pytest.mark.anyio

TEXT = "# Plan\n[plan]\n[what the weather was]\n"
CONSULT = TemplateCategory.CONSULT_NOTE


@pytest.fixture
async def lab(anyio_backend: str, database: SqlDatabase, tmp_path: Path) -> AccessLab:
    lab = AccessLab(database, tmp_path)
    await lab.access.create_organization(OPERATOR, "St Mary", "st-mary")
    await lab.access.create_organization(OPERATOR, "St John", "st-john")
    return lab


@pytest.fixture
def templates(lab: AccessLab) -> TemplateService:
    return TemplateService(
        database=lab.database,
        templates=SqlTemplateRepository(),
        organizations=lab.organizations,
        audit=lab.audit,
        clock=lab.clock,
    )


async def add(templates: TemplateService, name: str, organization_id: str = "st-mary") -> StoredTemplate:
    return (await templates.add(OPERATOR, organization_id, name, CONSULT, TEXT, "Dr Hale"))[0]


async def test_a_template_is_added_and_listed_behind_our_own(lab: AccessLab, templates: TemplateService) -> None:
    assert await templates.list("st-mary") == built_in_templates()
    added, (warning,) = await templates.add(
        OPERATOR, "st-mary", " Clinic letter ", TemplateCategory.DOCUMENT, f"\ufeff{TEXT}", "Dr Hale"
    )
    assert added == StoredTemplate(
        id=added.id,
        name="Clinic letter",
        category=TemplateCategory.DOCUMENT,
        text=TEXT,
        author_name="Dr Hale",
        organization_id="st-mary",
        created_at=NOON,
    )
    assert (warning.line, warning.is_warning) == (3, True)
    assert await templates.list("st-mary") == (*built_in_templates(), added)
    assert await templates.get("st-mary", added.id) == added
    event = (await lab.trace("st-mary"))[-1].event
    assert (event.action, event.subject, event.detail) == (
        "template.added",
        {"template": added.id},
        {"category": "DOCUMENT_TEMPLATE"},
    )


async def test_every_organization_has_our_own_and_none_has_anothers(templates: TemplateService) -> None:
    added = await add(templates, "Ours")
    assert await templates.list("st-john") == built_in_templates()
    for own in built_in_templates():
        assert await templates.get("st-john", own.id) == own
    for call in (templates.get("st-john", added.id), templates.remove(OPERATOR, "st-john", added.id)):
        with pytest.raises(NotFoundError) as of_another:
            await call
        with pytest.raises(NotFoundError) as of_nobody:
            await templates.get("st-john", "0" * 24)
        assert str(of_another.value) == str(of_nobody.value)
    assert await templates.get("st-mary", added.id) == added


async def test_a_removed_template_is_kept_for_the_notes_written_by_it(
    lab: AccessLab, templates: TemplateService
) -> None:
    added = await add(templates, "Ours")
    lab.clock.go_on()
    removed = await templates.remove(OPERATOR, "st-mary", added.id)
    assert removed.removed_at == lab.clock.now()
    assert await templates.remove(OPERATOR, "st-mary", added.id) == removed
    assert await templates.list("st-mary") == built_in_templates()
    with pytest.raises(NotFoundError):
        await templates.get("st-mary", added.id)
    assert await templates.get("st-mary", added.id, removed=True) == removed
    again = await add(templates, "Ours")
    assert again.id != added.id
    assert await lab.actions("st-mary") == [
        "organization.created",
        "template.added",
        "template.removed",
        "template.added",
    ]


async def test_a_changed_template_is_another_that_takes_the_place_of_the_former(templates: TemplateService) -> None:
    former = await add(templates, "Ours")
    with pytest.raises(ConflictError):
        await add(templates, "Ours")
    changed, _ = await templates.add(
        OPERATOR, "st-mary", "Ours", CONSULT, "[assessment]", "Dr Hale", replace_same_name=True
    )
    assert await templates.list("st-mary") == (*built_in_templates(), changed)
    assert (await templates.get("st-mary", former.id, removed=True)).text == TEXT


async def test_of_two_that_come_at_once_under_one_name_one_is_added(templates: TemplateService) -> None:
    done = await asyncio.gather(*(add(templates, "Ours") for _ in range(4)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["ConflictError"] * 3 + ["StoredTemplate"]
    assert len(await templates.list("st-mary")) == len(built_in_templates()) + 1
    await add(templates, "Ours", "st-john")


@pytest.mark.parametrize(
    ("name", "text", "author", "field"),
    [
        ("", TEXT, "Dr Hale", "name"),
        ("a\nb", TEXT, "Dr Hale", "name"),
        ("x" * 201, TEXT, "Dr Hale", "name"),
        ("Ours", TEXT, " ", "author_name"),
        ("Ours", "[plan", "Dr Hale", "template"),
        ("Ours", "no placeholder", "Dr Hale", "template"),
        ("Ours", "[plan]\0", "Dr Hale", "template"),
        ("Ours", "[plan] \ud800", "Dr Hale", "template"),
    ],
)
async def test_what_cannot_be_used_is_refused_and_nothing_is_added(
    lab: AccessLab, templates: TemplateService, name: str, text: str, author: str, field: str
) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        await templates.add(OPERATOR, "st-mary", name, CONSULT, text, author)
    assert refused.value.field == field
    assert await templates.list("st-mary") == built_in_templates()
    assert await lab.actions("st-mary") == ["organization.created"]


async def test_our_own_keep_their_names_and_are_not_removed(templates: TemplateService) -> None:
    own = built_in_templates()[0]
    with pytest.raises(ConflictError):
        await add(templates, own.name.upper())
    with pytest.raises(ConflictError):
        await templates.remove(OPERATOR, "st-mary", own.id)


async def test_nothing_is_done_for_an_organization_that_is_not_there(templates: TemplateService) -> None:
    for call in (templates.list("nobody"), add(templates, "Ours", "nobody"), templates.remove(OPERATOR, "nobody", "x")):
        with pytest.raises(NotFoundError):
            await call
