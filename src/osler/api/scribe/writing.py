"""What clients ask for when they have a note or document written, and how its text is read while that happens."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from osler.api.scribe.auth import ScribeUser
from osler.api.scribe.errors import Refusal, ScribeError, invalid
from osler.api.scribe.presenters import failure_of
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.streams import Said
from osler.api.scribe.values import Given
from osler.encounters.model import Encounter, EncounterState
from osler.encounters.service import ERASED
from osler.kernel.errors import ConflictError, ErasedError, NoSpeechError, UnsupportedLanguageError
from osler.notes.html import asked_for_html, markdown_html, shown_pieces
from osler.notes.model import Document, NoteVersion, TextStatus, VoiceStyle
from osler.notes.records import ERASED as ERASED_CODE
from osler.pipeline.composing import REQUESTED_BY, VOICE_NOTES

LONGEST_WAIT: Final = 120.0
"""Seconds that a request waits for a transcript and for the first of a text, as the transcript's own route does."""

SOON: Final = 0.05
LATER: Final = 0.5
"""Seconds between two looks at a text: at first, and once it takes long."""

LONG: Final = 3.0
QUIET: Final = 15.0
"""Seconds after which a stream that says nothing shows that it lives."""

NO_TRANSCRIPT: Final = "TranscriptNotFoundError"

Voice = Literal["GOLDILOCKS", "DETAILED", "BRIEF", "SUPER_DETAILED", "MY_VOICE"]
TemplateId = Annotated[str, Field(max_length=64)]


class WritingRequest(Given):
    """What a note and a document are both asked for with. What is left out, or null, has its default."""

    voice_style: Voice | None = Field(
        default=None, description="How long it is; MY_VOICE writes as the user's own notes do. Default: GOLDILOCKS."
    )
    brain: Literal["LEFT", "RIGHT"] | None = Field(
        default=None, description="LEFT: structured, by problem; RIGHT: told in paragraphs. Default: LEFT."
    )
    content_type: Literal["MARKDOWN", "HTML"] | None = Field(
        default=None, description="The form of the text as it is shown. Default: MARKDOWN."
    )

    @property
    def style(self) -> VoiceStyle:
        """The voice style that is meant."""
        return VoiceStyle(self.voice_style or "GOLDILOCKS")

    def options(self, who: ScribeUser, **more: str | None) -> dict[str, str]:
        """Return the request's own words, which are kept with the text; none of them is a text."""
        said = {"brain": self.brain or "LEFT", "content_type": self.content_type or "MARKDOWN", **more}
        return {name: value for name, value in said.items() if value} | {REQUESTED_BY: who.user_id}


async def writable(services: ScribeServices, who: ScribeUser, session_id: str) -> Encounter:
    """Return the session that something is to be written for.

    Raises NotFoundError, ErasedError, and ScribeError for an output language that nothing here writes.
    """
    encounter = await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
    if encounter.state is EncounterState.ERASED:
        raise ErasedError(ERASED)
    try:
        await services.composing.check_language(encounter.output_language_code)
    except UnsupportedLanguageError as error:
        raise invalid("output_language_code", str(error)) from None
    return encounter


@contextmanager
def nothing_to_write_from() -> Any:
    """Answer what keeps a text from being written, for want of words, as the transcript's own route does."""
    try:
        yield
    except NoSpeechError as error:
        raise ScribeError(Refusal(409, str(error), "NoSpeechError")) from None
    except ErasedError:
        raise
    except ConflictError as error:
        raise ScribeError(Refusal(409, str(error), NO_TRANSCRIPT)) from None


def not_yet(message: str) -> ScribeError:
    """Return the refusal of a wait that takes too long."""
    return ScribeError(Refusal(503, message, "NotReadyError"), Retry_After="5")


def refused(text: NoteVersion | Document) -> ScribeError:
    """Return the refusal of a text that could not be written."""
    failure = failure_of(text)
    status = 410 if failure["type"] == ERASED_CODE else 409
    return ScribeError(Refusal(status, failure["msg"], failure["type"]))


def is_written(text: NoteVersion | Document) -> bool:
    """Whether a text is there to be read."""
    return text.status is TextStatus.CREATED and text.content is not None


async def looks(*, at_most: float) -> AsyncGenerator[float]:
    """Yield the seconds since the first look, each time that it makes sense to look again, and end after the last."""
    begun = asyncio.get_running_loop().time()
    while True:
        passed = asyncio.get_running_loop().time() - begun
        yield passed
        if passed >= at_most:
            return
        await asyncio.sleep(SOON if passed < LONG else LATER)


async def read_along(
    read: Callable[[], Awaitable[NoteVersion]], begins: Callable[[], Awaitable[None]]
) -> AsyncGenerator[Said]:
    """Yield a note piece by piece as it is written, then what its reader has to know, if there is anything.

    ``begins`` is awaited before the first piece. The note is written whether or not anybody reads along.
    Raises ScribeError (409, 410, 503) before the first piece; what goes wrong after it is the last thing yielded.
    """
    sent: list[str] = []
    quiet_since = 0.0
    async for passed in looks(at_most=float("inf")):
        note = await read()
        if note.status is TextStatus.FAILED or (note.status is TextStatus.CREATED and note.content is None):
            if not sent:
                raise refused(note)
            yield {"data": "", "error": failure_of(note)}
            return
        pieces = _pieces(note)
        if pieces[: len(sent)] != sent:
            yield {"data": "", "error": {"type": "WrittenAnewError", "msg": _ANEW}}
            return
        if pieces and not sent:
            await begins()
        for piece in pieces[len(sent) :]:
            yield piece
            quiet_since = passed
        sent = pieces
        if note.status is TextStatus.CREATED:
            if VOICE_NOTES in note.options:
                yield {"data": "", "voice_notes": int(note.options[VOICE_NOTES])}
            return
        if not sent and passed >= LONGEST_WAIT:
            raise not_yet("The note is not begun yet, as its transcript is not there; ask for the session again later")
        if sent and passed - quiet_since >= QUIET:
            quiet_since = passed
            yield ""


_ANEW: Final = "The note was written anew while it was read; read it from the session."


def _pieces(note: NoteVersion) -> list[str]:
    if note.content is not None:
        return shown_pieces(note)
    return [markdown_html(piece) for piece in note.pieces] if asked_for_html(note) else list(note.pieces)
