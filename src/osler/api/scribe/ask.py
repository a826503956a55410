"""Questions about a session: answered from its transcript, note and context, with the words that answer them."""

from collections.abc import AsyncGenerator
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request

from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.awaiting import transcript_is_there
from osler.api.scribe.errors import documented, invalid
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SessionId
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.streams import StreamedText, described_stream, streamed
from osler.api.scribe.values import Given
from osler.api.scribe.writing import nothing_to_write_from
from osler.notes.asking import LONGEST_COMMAND, LONGEST_CONTENT, AnswerPart
from osler.notes.html import markdown_html
from osler.notes.model import ContentType, WrittenText


class AskRequest(Given):
    """A question or command."""

    ai_command_text: Annotated[str, Field(max_length=LONGEST_COMMAND)] = Field(
        description="What is asked of this session, or to be done with `content`."
    )
    content: Annotated[str, Field(max_length=LONGEST_CONTENT)] = Field(
        default="", description="The text in hand, for instance the note being edited; may be empty."
    )
    content_type: Literal["MARKDOWN", "HTML"] = Field(
        default="MARKDOWN", description="The form of `content`, and of the answer."
    )


def ask_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the route that answers questions."""

    @router.post(
        "/sessions/{session_id}/ask-ai",
        operation_id="askHeidi",
        summary="Ask about a session",
        response_class=StreamedText,
        responses={
            **documented(404, 409, 410),
            **described_stream("The answer, piece by piece; all pieces one after another are the whole."),
        },
    )
    async def ask(who: CurrentUser, session_id: SessionId, request: Request, body: AskRequest) -> StreamedText:
        """Answer from this session alone, quoting whose words and which line of the transcript an answer rests on.

        What the visit does not say is said to be so; what cannot be done without a language model too. Nothing is
        stored. A transcript that is still on its way is waited for, up to two minutes. Lines of JSON unless `Accept`
        asks for `text/event-stream`.
        """
        if not body.ai_command_text.strip():
            raise invalid("ai_command_text", "ai_command_text: say what is asked")
        await services.encounters.standing(who.organization_id, session_id, user_id=who.user_id)
        await transcript_is_there(services, who, session_id)
        in_hand = WrittenText(body.content, ContentType(body.content_type))
        with nothing_to_write_from():
            parts = await services.asking.ask(who.organization_id, session_id, body.ai_command_text, in_hand)
        await trace_reading(services, who, "encounter.asked", "encounter", [session_id])
        return await streamed(request, _shown(parts, as_html=body.content_type == "HTML"))

    return router


async def _shown(parts: AsyncGenerator[AnswerPart], *, as_html: bool) -> AsyncGenerator[str]:
    async for part in parts:
        yield markdown_html(part.text) if as_html else part.text
