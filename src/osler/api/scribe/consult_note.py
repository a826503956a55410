"""The consult note: asked for, and read while it is written."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request

from osler.api.scribe.auth import CurrentUser, ScribeUser
from osler.api.scribe.errors import TEMPLATE_NOT_FOUND, documented, invalid, missing_is
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SessionId
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.streams import StreamedText, described_stream, streamed
from osler.api.scribe.writing import TemplateId, WritingRequest, nothing_to_write_from, read_along, writable
from osler.encounters.fields import MAX_TEXT
from osler.notes.model import RequestTexts
from osler.notes.template_language import MOST_TEXT
from osler.pipeline.composing import client_template


class ConsultNoteRequest(WritingRequest):
    """A consult note to be written. Everything has a default."""

    generation_method: Literal["TEMPLATE", "THIRD_PARTY_TEMPLATE"] | None = Field(
        default=None, description="Whose template it is written by. Default: TEMPLATE."
    )
    template_id: TemplateId | None = Field(
        default=None, description="A template of the list of templates. Default: the first of that list."
    )
    third_party_template: Annotated[str, Field(max_length=MOST_TEXT)] | None = Field(
        default=None,
        description="The template itself, in the template language, or headings alone; not with `template_id`.",
    )
    addition: Annotated[str, Field(max_length=MAX_TEXT)] | None = Field(
        default=None, description="Facts or instructions that the clinician adds; what rests on them says so."
    )

    def texts(self) -> RequestTexts:
        """Return the request's own texts. Raises ScribeError for a template that is missing or there twice."""
        own = (self.third_party_template or "").strip()
        if own and self.template_id:
            raise invalid(
                "third_party_template", "template_id and third_party_template exclude each other; send one of them"
            )
        if self.generation_method == "THIRD_PARTY_TEMPLATE" and not own:
            raise invalid("third_party_template", "third_party_template is needed for this generation_method")
        if own and not client_template(own).placeholders:
            raise invalid(
                "third_party_template", "third_party_template asks for nothing; write headings or [placeholders] in it"
            )
        return RequestTexts(template=self.third_party_template or "" if own else "", addition=self.addition or "")


def consult_note_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the route that has a consult note written."""

    @router.post(
        "/sessions/{session_id}/consult-note",
        operation_id="generateConsultNote",
        summary="Have a consult note written, and read along",
        response_class=StreamedText,
        responses={
            **documented(404, 409, 410),
            **described_stream(
                "The note's text, piece by piece from its first finished section; all pieces one after another are "
                "what the session shows as the note. After the last piece an object with an empty `data` may say what "
                "went wrong, or of how many notes the user's voice was learned."
            ),
        },
    )
    async def generate_consult_note(
        who: CurrentUser, session_id: SessionId, request: Request, body: ConsultNoteRequest
    ) -> StreamedText:
        """Write a new version of the note from the transcript and all that stands beside it; former versions stay.

        A transcript that is still on its way is waited for, up to two minutes: then 503, while the note is written as
        soon as it can be. Asking again in the same words before that joins the version that is waiting. Whoever hangs
        up loses nothing: the note is completed and stored. Lines of JSON unless `Accept` asks for
        `text/event-stream`.
        """
        texts = body.texts()
        await writable(services, who, session_id)
        template_id = body.template_id or None
        if template_id is not None:
            with missing_is(TEMPLATE_NOT_FOUND):
                await services.templates.get(who.organization_id, template_id)
        with nothing_to_write_from():
            note = await services.notes.request(
                who.actor,
                who.organization_id,
                session_id,
                template=template_id,
                voice_style=body.style,
                options=body.options(
                    who, generation_method=body.generation_method or "TEMPLATE", template_id=template_id
                ),
                texts=texts,
                join=True,
            )
        read = partial(services.notes.get, who.organization_id, note.id)
        return await streamed(request, read_along(read, partial(_trace, services, who, session_id, note.id)))

    return router


async def _trace(services: ScribeServices, who: ScribeUser, session_id: str, note_id: str) -> None:
    await trace_reading(services, who, "note.read", "encounter", [session_id], note=note_id)
