"""``/sessions/{session_id}/transcript/stream``: sound comes in over a WebSocket, words go out as they are heard.

What is said here, message by message, stands in docs/reference/live-transcript.md. Nothing is acknowledged before it is
durable, and what was heard of it is sent without anybody asking.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import structlog
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from osler import logs
from osler.access.tokens import Bearer
from osler.api.scribe.auth import ScribeUser
from osler.api.scribe.errors import ScribeError
from osler.api.scribe.json_bodies import read_json
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SESSION_ID, is_id
from osler.api.scribe.services import ScribeServices
from osler.audio.model import RecordingState
from osler.audio.streaming import AudioStream, Streamed, StreamFormat, TooFastError
from osler.audit.model import Actor, ActorKind
from osler.kernel import errors
from osler.speech.live import Listening, SegmentHeard
from osler.speech.model import Transcript
from osler.speech.rendering import speaker_name

ROUTE: Final = "/sessions/{session_id}/transcript/stream"

FIRST_SECONDS: Final = 10.0
"""Seconds in which the first message must come."""

IDLE_SECONDS: Final = 60.0
"""Seconds that may pass between two messages of a client; who pauses sends ``keep_alive``."""

FINAL_SECONDS: Final = 1800.0
"""Seconds for which the final transcript is waited for before the client is told to ask for it later."""

CHECK_SECONDS: Final = 30.0
"""Seconds between two looks at whether the key behind the token still opens anything."""

LAST_WORDS: Final = 15.0
"""Seconds in which what was received of a lost connection is still stored."""

MOST_TEXT: Final = 16 * 1024
"""Bytes of a message of text."""

MOST_AUDIO: Final = 1024 * 1024
"""Bytes of a message of audio."""

LONGEST_REASON: Final = 123
"""Bytes of the reason of a close (RFC 6455, section 5.5)."""

MOST_STREAMS: Final = 500
"""Connections of one process at once."""

_log: Final = structlog.get_logger()


class Close(IntEnum):
    """Why the server closed the connection; from 4000 on they are an application's own (RFC 6455, section 7.4.2)."""

    DONE = 1000
    FAILED = 1011
    LATER = 1013
    UNREADABLE = 4400
    UNAUTHORIZED = 4401
    NO_CONSENT = 4403
    NOT_FOUND = 4404
    IDLE = 4408
    CONFLICT = 4409
    ERASED = 4410
    TOO_LARGE = 4413
    UNKNOWN_FORMAT = 4415
    NOT_AUDIO = 4422
    TOO_FAST = 4429
    NO_SPACE = 4507


class _Refused(Exception):  # noqa: N818  (it is the end of a conversation, which is not always an error)
    """Ends the connection with a code and a reason, which is of at most 120 bytes and holds no PHI."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(reason)
        self.code = code


_OF_ERRORS: Final[Mapping[type[errors.OslerError], Close]] = {
    errors.NotFoundError: Close.NOT_FOUND,
    errors.ConsentRequiredError: Close.NO_CONSENT,
    errors.ErasedError: Close.ERASED,
    errors.ConflictError: Close.CONFLICT,
    errors.InvalidFieldError: Close.TOO_LARGE,
    errors.NotAudioError: Close.NOT_AUDIO,
    errors.EmptyAudioError: Close.NOT_AUDIO,
    errors.NotAllowedError: Close.UNAUTHORIZED,
    errors.DatabaseUnavailableError: Close.LATER,
    errors.BlobsUnavailableError: Close.LATER,
    errors.StorageFullError: Close.NO_SPACE,
}
_TOLD: Final = {
    Close.NOT_FOUND: "There is no such session or recording",
    Close.NO_CONSENT: "The patient's consent is needed before audio is taken",
    Close.LATER: "The server cannot do this now; go on from the acknowledged offset later",
    Close.NO_SPACE: "No space is left on the server; nothing that was acknowledged is lost",
    Close.FAILED: "Something went wrong inside the server",
}


@dataclass(frozen=True, slots=True)
class _Start:
    """The first message."""

    token: str
    form: StreamFormat
    recording_id: str | None


def live_stream_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the WebSocket to a router."""
    door = _Door(services)

    @router.websocket(ROUTE)
    async def stream(socket: WebSocket, session_id: str) -> None:
        await door.open(socket, session_id)

    return router


class _Door:
    """All connections of this process."""

    def __init__(self, services: ScribeServices) -> None:
        self._services = services
        self._connections = 0
        logs.know_routes([ROUTE])

    async def open(self, socket: WebSocket, session_id: str) -> None:
        """Serve one connection to its end."""
        await socket.accept()
        began = time.perf_counter()
        connection = _Connection(self._services, socket, session_id)
        failure: BaseException | None = None
        self._connections += 1
        try:
            if self._connections > MOST_STREAMS:
                raise _Refused(Close.LATER, "The server has as many streams as it can serve; try again later")
            await connection.run()
            code, reason = Close.DONE, ""
        except WebSocketDisconnect:
            return
        except _Refused as refused:
            code, reason = refused.code, str(refused)
        except TooFastError as error:
            code, reason = Close.TOO_FAST, str(error)
        except errors.OslerError as error:
            code = next((_OF_ERRORS[cls] for cls in type(error).__mro__ if cls in _OF_ERRORS), Close.FAILED)
            reason = _TOLD.get(code, str(error))
            failure = error if code in (Close.FAILED, Close.LATER, Close.NO_SPACE) else None
        except Exception as error:  # noqa: BLE001  (whatever it is, the client is told that it was not its fault)
            code, reason, failure = Close.FAILED, _TOLD[Close.FAILED], error
        finally:
            self._connections -= 1
            connection.note(ROUTE, time.perf_counter() - began, failure)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            if socket.application_state is WebSocketState.CONNECTED:
                await socket.close(code, reason.encode()[:LONGEST_REASON].decode(errors="ignore"))


class _Connection:
    """One client, one recording."""

    def __init__(self, services: ScribeServices, socket: WebSocket, session_id: str) -> None:
        self._services = services
        self._socket = socket
        self._session_id = session_id
        self._stream: AudioStream | None = None
        self._starts: dict[str, Streamed] = {}

    async def run(self) -> None:
        """Take sound until the client finishes, then send the final transcript. Raises what ends it before."""
        start = await self._first()
        bearer, who = await self._who(start.token)
        if not SESSION_ID.fullmatch(self._session_id):
            raise _Refused(Close.NOT_FOUND, _TOLD[Close.NOT_FOUND])
        await self._services.encounters.standing(who.organization_id, self._session_id, user_id=who.user_id)
        await trace_reading(self._services, who, "transcript.read", "encounter", [self._session_id], by="stream")
        async with self._opened(start, who) as stream:
            self._stream = stream
            with self._services.live_texts.listen(who.organization_id, stream.recording.id) as listening:
                await self._send(
                    {
                        "type": "ready",
                        "session_id": self._session_id,
                        "recording_id": stream.recording.id,
                        "format": stream.form.value,
                        "offset": stream.offset,
                    }
                )
                self._expect(listening, *stream.stored)
                await self._converse(stream, listening, bearer, who)

    async def _converse(self, stream: AudioStream, listening: Listening, bearer: Bearer, who: ScribeUser) -> None:
        tell = asyncio.create_task(self._tell(listening), name="live stream: words")
        store = asyncio.create_task(self._store(stream, listening), name="live stream: store")
        read = asyncio.create_task(self._read(stream), name="live stream: read")
        check = asyncio.create_task(self._keep_checking(bearer), name="live stream: key")
        tasks: tuple[asyncio.Task[None], ...] = (tell, store, read, check)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in (check, store, tell):
                if task.done():
                    task.result()
            if not read.done():
                raise _Refused(Close.CONFLICT, "Another connection goes on with this recording")
            read.result()
            # The client has finished: what it sent last becomes durable, then the whole is heard.
            await stream.end()
            await store
            _, missing = await self._services.audio.finish(
                who.actor, who.organization_id, self._session_id, stream.recording.id
            )
            await self._send({"type": "finished", "offset": stream.offset, "missing_indexes": list(missing)})
            listening.expect_end()
            gone = asyncio.create_task(self._until_gone(), name="live stream: gone")
            tasks = (*tasks, gone)
            await asyncio.wait((tell, gone, check), timeout=FINAL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for task in (tell, gone, check):
                if task.done():
                    task.result()
                    return
            raise _Refused(Close.LATER, "The transcript takes long; read it from the session later")
        finally:
            await stream.end()
            # What came before the connection broke is stored too: there is less to repeat, or nobody repeats it.
            await asyncio.wait((store,), timeout=LAST_WORDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _opened(self, start: _Start, who: ScribeUser) -> AsyncIterator[AudioStream]:
        streams = self._services.streams
        opened = (
            streams.begin(who.actor, who.organization_id, self._session_id, start.form)
            if start.recording_id is None
            else streams.resume(who.actor, who.organization_id, self._session_id, start.recording_id, start.form)
        )
        async with opened as stream:
            yield stream

    async def _first(self) -> _Start:
        """Read the first message. Raises _Refused."""
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                message = await self._message()
        except TimeoutError:
            raise _Refused(Close.IDLE, "The first message did not come in time") from None
        if not isinstance(message, dict) or message.get("type") != "start":
            raise _Refused(Close.UNREADABLE, 'The first message must be JSON: {"type": "start", "token", "format"}')
        token, form, recording_id = message.get("token"), message.get("format"), message.get("recording_id")
        if not isinstance(token, str) or not token:
            raise _Refused(Close.UNAUTHORIZED, "A bearer token is needed in the first message")
        if not isinstance(form, str) or form not in {each.value for each in StreamFormat}:
            known = ", ".join(each.value for each in StreamFormat)
            raise _Refused(Close.UNKNOWN_FORMAT, f"format must be one of: {known}")
        if recording_id is not None and not (isinstance(recording_id, str) and is_id(recording_id)):
            raise _Refused(Close.NOT_FOUND, _TOLD[Close.NOT_FOUND])
        return _Start(token, StreamFormat(form), recording_id)

    async def _who(self, token: str) -> tuple[Bearer, ScribeUser]:
        bearer = await self._services.tokens.verify(token)
        origin = self._socket.client.host if self._socket.client else "unknown"
        actor = Actor(ActorKind.USER, bearer.user_id, origin)
        return bearer, ScribeUser(bearer.organization_id, bearer.user_id, actor)

    async def _keep_checking(self, bearer: Bearer) -> None:
        """Return never; raise once the key of the token opens nothing any more. The token itself may run out."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            with contextlib.suppress(errors.DatabaseUnavailableError):
                key = await self._services.access.key(bearer.organization_id, bearer.key_id)
                if key.fault(self._services.clock.now()) is not None:
                    raise _Refused(Close.UNAUTHORIZED, "The API key of this token opens nothing any more")

    async def _read(self, stream: AudioStream) -> None:
        """Take messages until the client finishes. Raises _Refused, WebSocketDisconnect, what ``push`` raises."""
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    message = await self._message()
            except TimeoutError:
                raise _Refused(Close.IDLE, "Nothing came for too long; go on from the acknowledged offset") from None
            if isinstance(message, bytes):
                await stream.push(message)
                continue
            kind = message.get("type")
            if kind == "finish":
                return
            if kind != "keep_alive":
                raise _Refused(Close.UNREADABLE, "A message must be audio, finish or keep_alive")

    async def _message(self) -> bytes | dict[str, Any]:
        """Return the next message: audio, or an object. Raises _Refused, WebSocketDisconnect."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        data, text = message.get("bytes"), message.get("text") or ""
        if data is not None:
            if len(data) > MOST_AUDIO:
                raise _Refused(Close.TOO_LARGE, f"A message of audio has {MOST_AUDIO} bytes at most")
            return bytes(data)
        if len(text) > MOST_TEXT:
            raise _Refused(Close.TOO_LARGE, f"A message of text has {MOST_TEXT} characters at most")
        try:
            value = read_json(text.encode())
        except (ScribeError, UnicodeEncodeError):
            value = None
        if not isinstance(value, dict):
            raise _Refused(Close.UNREADABLE, "A message of text must be a JSON object")
        return value

    async def _store(self, stream: AudioStream, listening: Listening) -> None:
        """Store segments and acknowledge them, until the stream ends."""
        async for streamed in stream.segments():
            self._expect(listening, streamed)
            # To a client that is gone nothing is said, but what it sent is stored to the end.
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await self._send({"type": "ack", "offset": streamed.offset, "segment": streamed.segment.index})

    async def _tell(self, listening: Listening) -> None:
        """Send what is heard, until the final transcript."""
        async for told in listening:
            if isinstance(told, SegmentHeard):
                streamed = self._starts.pop(told.segment_id)
                transcript = told.heard.transcript if told.heard is not None else None
                await self._send(
                    {
                        "type": "partial",
                        "segment": streamed.segment.index,
                        "status": "COMPLETE" if transcript else "FAILED",
                        "start": round(streamed.start, 3),
                        "end": round(streamed.start + (streamed.segment.seconds or 0.0), 3),
                        "turns": _turns(transcript, streamed.start),
                    }
                )
                continue
            complete = told.recording.state is RecordingState.COMPLETE
            transcript = told.version.transcript if told.version is not None else None
            await self._send(
                {
                    "type": "final",
                    "status": "COMPLETE" if complete else "FAILED",
                    "failure": told.recording.failure,
                    "language_code": transcript.language if transcript else None,
                    "turns": _turns(transcript, 0.0),
                }
            )

    async def _until_gone(self) -> None:
        """Read on, as the connection is only known to be lost by reading. Raises WebSocketDisconnect."""
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            pass
        raise WebSocketDisconnect(1006)

    def _expect(self, listening: Listening, *streamed: Streamed) -> None:
        self._starts |= {each.segment.id: each for each in streamed}
        listening.expect([each.segment.id for each in streamed])

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self._socket.send_text(json.dumps(message, ensure_ascii=False, separators=(",", ":")))

    def note(self, route: str, seconds: float, failure: BaseException | None) -> None:
        """Leave a line in the log."""
        stream = self._stream
        fields: dict[str, Any] = {"route": route, "seconds": seconds}
        if stream is not None:
            fields |= {"recording_id": stream.recording.id, "count": stream.index, "size": stream.received}
        if failure is None:
            _log.info("a live stream ended", **fields)
        else:
            _log.error("a live stream failed", exc_info=failure, **fields)


def _turns(transcript: Transcript | None, start: float) -> list[dict[str, Any]]:
    """Return turns as they are sent, times in seconds of the recording."""
    return [
        {
            "speaker": speaker_name(turn.speaker),
            "text": turn.text,
            "start": None if turn.start is None else round(start + turn.start, 3),
            "end": None if turn.end is None else round(start + turn.end, 3),
        }
        for turn in (transcript.turns if transcript else ())
    ]
