"""Forms of clients ("custom templates"): answered from the visit, each answer with the words that it rests on."""

from typing import Any, Final

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from starlette.responses import JSONResponse

from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.awaiting import transcript_is_there
from osler.api.scribe.errors import documented, invalid
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SessionId
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import OURS, Answered, Given
from osler.api.scribe.writing import nothing_to_write_from
from osler.notes.forms import AnswerType, read_form
from osler.notes.html import sanitised

TYPES: Final = frozenset(("MARKDOWN", "HTML"))


QUESTION: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A question. What else it holds is given back as it is; questions may stand below it.",
    "required": ["questionId", "question", "answerType"],
    "properties": {
        "questionId": {"type": "string", "description": "Its id, once in a form."},
        "question": {"type": "string", "description": "What is asked."},
        "answerType": {"enum": [each.value for each in AnswerType]},
        "answerOptions": {
            "type": "array",
            "description": "What can be chosen; needed for SingleResponse and MultipleResponse.",
            "items": {"type": "object", "required": ["value"], "properties": {"value": {"type": ["string", "number"]}}},
        },
        "dateFormat": {
            "type": "string",
            "description": "Of a DateResponse: DD/MM/YYYY, %d/%m/%Y, ISO and their like. Left out: YYYY-MM-DD.",
        },
        "questions": {"type": "array", "items": {"type": "object"}, "description": "Questions below this one."},
    },
}


class FormSent(Given):
    """A form: itself, or under `template`."""

    model_config = ConfigDict(extra="allow")

    template: dict[str, Any] | None = Field(default=None, description="The form, where it is not the body itself.")
    content_type: str | None = Field(
        default=None, description="MARKDOWN or HTML: the form of texts in answers. Default: MARKDOWN."
    )
    questions: list[Any] | None = Field(
        default=None,
        description="The form's questions, where the body is the form.",
        json_schema_extra={"items": QUESTION},
    )


class AnswerEvidence(Answered):
    """Words that an answer rests on: `turns[turn].text[start:end]` is `quote`."""

    kind: str = Field(description="transcript, clinician_note, context_document ...: what it is taken from.")
    turn: int = Field(description="Which turn of the transcript, or paragraph of another source, from 0.")
    start: int
    end: int
    quote: str
    audio_start: float | None = Field(description="Seconds of the recording, where they are known.")
    audio_end: float | None
    source_id: str = Field(description="Which document or note; empty for the transcript.")


class QuestionAnswer(Answered):
    """A question with its answer."""

    questionId: str  # noqa: N815
    question: str
    answerType: str  # noqa: N815
    answer: str | float | int | list[str | float | int] | None = Field(
        description="An option, several, a text or a day in the question's format; null: the visit does not say."
    )
    evidence: list[AnswerEvidence] = Field(json_schema_extra=OURS)


class FormAnswered(Answered):
    """The form as it was sent, with `answer` and `evidence` in each question, and the answers alone."""

    model_config = ConfigDict(extra="allow")

    questionAnswers: list[QuestionAnswer]  # noqa: N815
    template: dict[str, Any] | None = Field(default=None, description="The answered form, where it was sent so.")


def form_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the route that answers forms."""

    @router.post(
        "/sessions/{session_id}/client-customised-template/response",
        operation_id="generateCustomTemplateConsultNote",
        summary="Have a form answered",
        responses={**documented(404, 409, 410), 200: {"model": FormAnswered, "description": "The answered form."}},
    )
    async def answer_form(who: CurrentUser, session_id: SessionId, body: FormSent) -> JSONResponse:
        """Answer each question from what was said and what stands beside it, or with null.

        An answer that the visit does not support is null, "none of these" too unless it denies all the others. Days
        are reckoned from the day of the session; one that is vague or can be read in two ways is null. A transcript
        that is still on its way is waited for, up to two minutes.
        """
        sent = body.model_dump(exclude_unset=True)
        wrapped = isinstance(sent.get("template"), dict)
        if sent.get("content_type") is not None and sent["content_type"] not in TYPES:
            raise invalid("content_type", "content_type: must be MARKDOWN or HTML")
        form = read_form(sent["template"], "template") if wrapped else read_form(sent)
        await services.encounters.standing(who.organization_id, session_id, user_id=who.user_id)
        await transcript_is_there(services, who, session_id)
        with nothing_to_write_from():
            kept = await services.forms.answer(who.actor, who.organization_id, session_id, form)
        await trace_reading(services, who, "form.read", "encounter", [session_id], form=kept.id)
        told = dict(kept.answers)
        if sent.get("content_type") == "HTML":
            told = _in_html(told)
        tree = told["template"]
        answer = {**tree, "questionAnswers": told["questionAnswers"]}
        return JSONResponse({**answer, "template": tree} if wrapped else answer)

    return router


def _in_html(node: Any) -> Any:
    """Return a tree in which the answers to text questions are HTML."""
    if isinstance(node, list):
        return [_in_html(each) for each in node]
    if not isinstance(node, dict):
        return node
    told = {name: child if name == "evidence" else _in_html(child) for name, child in node.items()}
    if node.get("answerType") == "TextArea" and isinstance(node.get("answer"), str):
        escaped = node["answer"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        told["answer"] = sanitised(f"<p>{escaped}</p>")
    return told
