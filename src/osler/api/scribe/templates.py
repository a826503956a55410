"""Templates: listed for both kinds of readers, as their authors wrote them and parsed."""

import asyncio
from functools import lru_cache
from typing import Any, Final, Literal

from fastapi import APIRouter
from starlette.responses import JSONResponse

from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import documented
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import Answered
from osler.notes.template_model import StoredTemplate
from osler.notes.template_rendering import template_html

KEPT: Final = 2_048
"""Templates that are parsed once: one never changes."""


class StructureTemplate(Answered):
    """A parsed template: its text, and its sections as a flat list."""

    text: str
    sections: list[dict[str, Any]]


class _Template(Answered):
    id: str
    name: str
    template_category: Literal["CONSULT_NOTE_TEMPLATE", "DOCUMENT_TEMPLATE"]
    template_html: str
    author_name: str


class Template(_Template):
    """A template, parsed."""

    structure_template: StructureTemplate


class WrittenTemplate(_Template):
    """A template as its author wrote it."""

    structure_template: str


class TemplateList(Answered):
    """All templates that can be written by: parsed under `data`, as they were written under `templates`."""

    data: list[Template]
    templates: list[WrittenTemplate]


def template_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the routes of templates to a router."""

    async def listed(who: CurrentUser) -> JSONResponse:
        """Return the templates for notes and documents: those that every practice has, then the practice's own."""
        found = await services.templates.list(who.organization_id)
        # Parsed in a thread: what an organization brings along may be much.
        return JSONResponse(await asyncio.to_thread(_shown, found))

    answers: dict[int | str, dict[str, Any]] = {
        **documented(),
        200: {"model": TemplateList, "description": "The templates."},
    }
    router.get(
        "/templates/document-templates", operation_id="listTemplates", summary="List templates", responses=answers
    )(listed)
    router.get(
        "/templates/consult-note-templates",
        operation_id="listConsultNoteTemplates",
        summary="List templates (the older path)",
        deprecated=True,
        responses=answers,
    )(listed)
    return router


def _shown(templates: tuple[StoredTemplate, ...]) -> dict[str, Any]:
    return {
        "data": [_parsed(template) for template in templates],
        "templates": [{**_parsed(template), "structure_template": template.text} for template in templates],
    }


@lru_cache(maxsize=KEPT)
def _parsed(template: StoredTemplate) -> dict[str, Any]:
    tree = template.tree
    return {
        "id": template.id,
        "name": template.name,
        "structure_template": tree.to_json(),
        "template_category": template.category.value,
        "template_html": template_html(tree),
        "author_name": template.author_name,
    }
