"""Transcripts: the finished text, what was heard so far, and corrections by a person."""

import asyncio
import time
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StrictStr
from starlette.requests import Request
from starlette.responses import JSONResponse

from osler.api.scribe.auth import CurrentUser, ScribeUser
from osler.api.scribe.errors import (
    SESSION_NOT_FOUND,
    TRANSCRIPT_NOT_FOUND,
    Refusal,
    ScribeError,
    documented,
    invalid,
    missing_is,
)
from osler.api.scribe.presenters import FAILURES
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SessionId, Whole
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.transcript_presenters import final_transcript, live_transcript
from osler.api.scribe.values import OURS, Answered, Given, Time
from osler.audio.model import AudioRecording, RecordingState
from osler.encounters.model import Encounter, EncounterState
from osler.encounters.service import ERASED
from osler.kernel.errors import ErasedError
from osler.speech.correction import LONGEST_LABEL, LONGEST_TEXT, Correction, TurnCorrection
from osler.speech.model import TranscriptVersion
from osler.speech.records import TranscriptStanding

LONGEST_WAIT: Final = 120.0
"""Seconds for which a finished text is waited for."""

_FIRST_LOOK: Final = 0.2
_LAST_LOOK: Final = 1.0
"""Seconds between two looks at the database, at first and later."""

NOT_READY: Final = Refusal(503, "The transcript is not finished yet; ask for it again", "TranscriptNotReadyError")

NOT_TRANSCRIBED: Final = (
    "The recording could not be transcribed; send it again, or have the operator retry it (osler jobs retry)"
)
AUDIO_ERASED: Final = "What was said in this session was erased for good."

MOST_TURNS: Final = 20_000


class ToldTurn(Answered):
    """What one speaker says without another taking over. `index` is the turn's place, counted from 0."""

    index: int
    speaker: str
    text: str
    start: float | None = Field(description="Seconds from the start of the recording.")
    end: float | None


class Transcript(Answered):
    """A finished transcript."""

    transcript: str = Field(description="One line a turn: `Clinician: ...`, `Patient: ...`.")
    session_id: str
    language_code: str
    version: int = Field(description="Counts the transcripts of a session from 1.", json_schema_extra=OURS)
    corrected: bool = Field(description="Whether a person corrected it.", json_schema_extra=OURS)
    turns: list[ToldTurn] = Field(json_schema_extra=OURS)
    incomplete: bool = Field(description="The recording breaks off before its end.", json_schema_extra=OURS)
    warnings: list[str] = Field(description="What could not be heard.", json_schema_extra=OURS)


class ProseChunk(Answered):
    """A segment of a recording."""

    id: str
    status: Literal["IN_PROGRESS", "COMPLETE", "FAILED"]
    transcript: str
    duration: float


class ProseRecording(Answered):
    """A recording in its segments."""

    id: str
    chunks: list[ProseChunk]
    created_at: Time


class LiveResponse(Answered):
    """What was heard so far, by where it comes from."""

    user_uploaded: list[ProseRecording]
    live: list[ProseRecording]
    backup: list[ProseRecording]
    transcript_in_use: Literal["user_uploaded", "live", "backup"] | None
    transcript: str


class YamlChunk(Answered):
    """A segment with its text and its source."""

    id: str
    status: Literal["PENDING", "READY", "FAILED"]
    duration: float
    text: str
    source: Literal["USER_UPLOADED", "LIVE", "BACKUP"]


class LiveTranscript(Answered):
    """What was heard so far, in both shapes."""

    response: LiveResponse
    session_id: str
    transcript: str
    active_source: Literal["USER_UPLOADED", "LIVE", "BACKUP"] = Field(
        description="Where the text comes from; LIVE while there is none."
    )
    chunks: list[YamlChunk]


class _Strict(Given):
    """A body in which an unknown key is an error: it would be a correction that nobody makes."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class CorrectedTurn(_Strict):
    """One turn as it should be. What is left out stays as it is."""

    index: Whole = Field(ge=0, description="The turn's place in that version.")
    text: StrictStr | None = Field(
        default=None, max_length=LONGEST_TEXT, description="All of its words; an empty text takes the turn out."
    )
    speaker: StrictStr | None = Field(default=None, min_length=1, max_length=LONGEST_LABEL)


class TranscriptCorrection(_Strict):
    """What a person puts right in a transcript."""

    version: Whole | None = Field(
        default=None,
        ge=1,
        description="The version that is corrected; another one in use is answered with 409. Needed with `turns`.",
    )
    speakers: dict[str, StrictStr] | None = Field(
        default=None,
        max_length=32,
        description='New labels by old ones, all at once: `{"Clinician": "Patient", "Patient": "Clinician"}` swaps.',
    )
    turns: list[CorrectedTurn] | None = Field(default=None, max_length=MOST_TURNS)

    def correction(self) -> Correction:
        """Return it as the core takes it. Raises ScribeError."""
        if not self.speakers and not self.turns:
            raise invalid("speakers", "speakers or turns: say what is to be corrected")
        if self.turns and self.version is None:
            raise invalid("version", "version: say which version these turns are of")
        turns = [TurnCorrection(each.index, each.text, each.speaker) for each in self.turns or ()]
        return Correction(self.speakers or {}, turns)


RecordingStatus = Annotated[
    Literal["in_progress", "complete"] | None,
    Query(description="Only recordings that still go on or are being transcribed, or only finished ones."),
]


def transcript_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the routes of transcripts to a router."""

    @router.get(
        "/sessions/{session_id}/transcript",
        operation_id="getSessionTranscript",
        summary="Read the finished transcript",
        responses={**documented(404, 409, 410), 200: {"model": Transcript, "description": "The finished text."}},
    )
    async def get_session_transcript(
        who: CurrentUser,
        session_id: SessionId,
        request: Request,
        wait: Annotated[
            float,
            Query(
                ge=0,
                le=LONGEST_WAIT,
                allow_inf_nan=False,
                description="Seconds to wait for it.",
                json_schema_extra=OURS,
            ),
        ] = LONGEST_WAIT,
    ) -> JSONResponse:
        """Return the text in use, once no recording is being transcribed any more; after two minutes of waiting 503.

        Of several recordings it is the one that was transcribed last; a backup is used only if there is no other.
        """
        encounter = await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        _refuse_erased(encounter)
        version = await _finished(services, who, session_id, request, wait)
        await trace_reading(services, who, "transcript.read", "encounter", [session_id])
        return JSONResponse(final_transcript(version, encounter))

    @router.patch(
        "/sessions/{session_id}/transcript",
        operation_id="correctSessionTranscript",
        summary="Correct the transcript",
        openapi_extra=OURS,
        responses={**documented(404, 409, 410), 200: {"model": Transcript, "description": "As it stands now."}},
    )
    async def correct_session_transcript(
        who: CurrentUser, session_id: SessionId, body: TranscriptCorrection
    ) -> JSONResponse:
        """Rename or swap speakers and put words right; the result is a new version with its author.

        Words that stand keep their times. Notes and documents that rest on a former version and are not signed are
        marked stale; what outsiders can read of the transcript is replaced.
        """
        encounter = await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        with missing_is(TRANSCRIPT_NOT_FOUND):
            version = await services.transcript_editing.correct(
                who.actor,
                who.organization_id,
                session_id,
                body.correction(),
                user_id=who.user_id,
                version=body.version,
            )
        await trace_reading(services, who, "transcript.read", "encounter", [session_id])
        return JSONResponse(final_transcript(version, encounter))

    async def live(who: CurrentUser, session_id: SessionId, recording_status: RecordingStatus = None) -> JSONResponse:
        """Return what was heard so far, segment by segment, and the text in use."""
        with missing_is(SESSION_NOT_FOUND):
            encounter = await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        _refuse_erased(encounter)
        found, in_use = await services.transcripts.heard(who.organization_id, session_id)
        await trace_reading(services, who, "transcript.read", "encounter", [session_id], by="live")
        return JSONResponse(live_transcript(session_id, found, in_use, recording_status))

    for path, operation_id in (
        ("/sessions/{session_id}/transcript/live", "getLiveSessionTranscript"),
        ("/open-api/sessions/{session_id}/transcript/live", "getLiveSessionTranscriptUnderOpenApi"),
    ):
        router.add_api_route(
            path,
            live,
            methods=["GET"],
            operation_id=operation_id,
            summary="Read what was heard so far",
            responses={**documented(404, 410), 200: {"model": LiveTranscript, "description": "As of now."}},
        )
    return router


async def _finished(
    services: ScribeServices, who: ScribeUser, session_id: str, request: Request, wait: float
) -> TranscriptVersion:
    """Wait for the transcript in use. Nothing is held meanwhile: a short look at the database now and then.

    Raises ScribeError: 404 without audio, 409 for a failed one, 503 when the time is over; ErasedError.
    """
    deadline = time.monotonic() + wait
    pause = _FIRST_LOOK
    while True:
        standing = await services.transcripts.standing(who.organization_id, session_id)
        if standing.is_settled:
            return _settled(standing)
        left = deadline - time.monotonic()
        if left <= 0 or await request.is_disconnected():
            raise ScribeError(NOT_READY)
        try:
            await asyncio.sleep(min(pause, left))
        except asyncio.CancelledError:
            # The server stops and does not wait for those who wait: they are told to ask the next one.
            raise ScribeError(NOT_READY) from None
        pause = min(pause * 1.5, _LAST_LOOK)


def _settled(standing: TranscriptStanding) -> TranscriptVersion:
    if standing.version is not None:
        return standing.version
    if not standing.recordings:
        raise ScribeError(TRANSCRIPT_NOT_FOUND)
    if any(recording.state is RecordingState.ERASED for recording in standing.recordings):
        raise ErasedError(AUDIO_ERASED)
    raise ScribeError(Refusal(409, _what_to_do(standing.recordings[-1]), "TranscriptFailedError"))


def _what_to_do(recording: AudioRecording) -> str:
    return FAILURES.get(recording.failure or "", NOT_TRANSCRIBED)


def _refuse_erased(encounter: Encounter) -> None:
    if encounter.state is EncounterState.ERASED:
        raise ErasedError(ERASED)
