"""A recording that comes as one stream of bytes: cut into segments, each durable before its bytes are acknowledged.

What a client sent is counted in bytes of its own stream. A segment holds a stretch of them, the next one goes on where
it ends, so the durable offset is the length of all segments: whoever lost the connection, or the server its life, goes
on from there, and no byte is lost or stored twice.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np

from osler.audio.assembly import missing_indexes
from osler.audio.model import SAMPLE_RATE, AudioRecording, RecordingState, Segment
from osler.audio.service import AudioService
from osler.audit.model import Actor
from osler.kernel.errors import ConflictError, ErasedError, InvalidFieldError

SAMPLE_BYTES: Final = 2
PCM_SECOND: Final = SAMPLE_RATE * SAMPLE_BYTES

SHORTEST: Final = 5.0
LONGEST: Final = 10.0
"""Seconds of a segment of plain samples: cut at the first pause after SHORTEST, at LONGEST where it is quietest."""

WAIT: Final = 12.0
"""Seconds after which bytes that wait for more become a segment all the same: who pauses is acknowledged too."""

CONTAINER_SECONDS: Final = 6.0
CONTAINER_BYTES: Final = 96 * 1024
"""A segment of a stream in a container ends with the message that brings it to this age or size: how long its sound
is cannot be seen from its bytes. Opus for speech has 3 to 16 kB a second."""

MOST_PENDING: Final = 4 * 1024 * 1024
"""Bytes that are received and not yet durable; while there are more, nothing further is read from the client."""

STALLED: Final = 30.0
"""Seconds for which a client that sends more than can be stored is kept waiting before it is sent away."""

TAKE_OVER: Final = 30.0
"""Seconds in which a former connection must have stored what it holds before another goes on with its recording."""

_FRAME: Final = SAMPLE_RATE // 50
"""Samples (20 ms) whose loudness is looked at together."""
_PAUSE_FRAMES: Final = 15
"""Frames (0.3 s) of quiet that are a pause."""
_QUIET: Final = 0.1
"""Share of the loudness of loud frames (their 90th percentile) below which a frame is quiet."""

_WAV_HEADER: Final = 44


class TooFastError(Exception):
    """The client sent more than could be stored for too long; it goes on from the durable offset later."""


class StreamFormat(StrEnum):
    """What a stream may be: samples of 16 bits, little-endian, mono, 16 kHz; or Opus in WebM or Ogg, as
    browsers record it."""

    PCM = "pcm_s16le_16k"
    WEBM = "webm_opus"
    OGG = "ogg_opus"

    @property
    def media_type(self) -> str:
        """The media type of a segment of it."""
        return {"pcm_s16le_16k": "audio/wav", "webm_opus": "audio/webm", "ogg_opus": "audio/ogg"}[self.value]

    def segment(self, data: bytes) -> bytes:
        """Return a stretch of the stream as it is stored. The same bytes give the same segment."""
        return wav_header(len(data)) + data if self is StreamFormat.PCM else data

    def length(self, segment: Segment) -> int:
        """Return how many bytes of the stream a segment holds. Raises ErasedError."""
        if segment.blob is None:
            raise ErasedError("The audio of this recording was erased for good.")
        return segment.blob.size - (_WAV_HEADER if self is StreamFormat.PCM else 0)


def wav_header(length: int) -> bytes:
    """Return the 44 bytes in front of ``length`` bytes of samples (RIFF WAVE, PCM, mono, 16 bits, 16 kHz)."""
    return b"".join(
        (
            b"RIFF",
            (36 + length).to_bytes(4, "little"),
            b"WAVEfmt ",
            (16).to_bytes(4, "little"),
            (1).to_bytes(2, "little"),
            (1).to_bytes(2, "little"),
            SAMPLE_RATE.to_bytes(4, "little"),
            PCM_SECOND.to_bytes(4, "little"),
            SAMPLE_BYTES.to_bytes(2, "little"),
            (8 * SAMPLE_BYTES).to_bytes(2, "little"),
            b"data",
            length.to_bytes(4, "little"),
        )
    )


class SegmentCutter:
    """Holds the bytes that are in no segment yet, and says which of them are the next one. Times are seconds."""

    def __init__(self, form: StreamFormat, clock: Callable[[], float] = time.monotonic) -> None:
        self._form = form
        self._clock = clock
        self._held = bytearray()
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def due(self) -> float | None:
        """How long until what is held becomes a segment by its age; None while nothing is held."""
        if not self._held:
            return None
        limit = WAIT if self._form is StreamFormat.PCM else CONTAINER_SECONDS
        return max(0.0, self._since + limit - self._clock())

    def add(self, data: bytes) -> None:
        """Take one message of the client."""
        if data and not self._held:
            self._since = self._clock()
        self._held += data

    def take(self, *, all_of_it: bool = False) -> bytes:
        """Return the bytes of the next segment, empty if it is too early for one.

        ``all_of_it``: the stream ends here, or nothing more may come for long.
        """
        if self._form is StreamFormat.PCM:
            size = self._samples_end(all_of_it or self.due == 0.0)
        else:
            old = len(self._held) >= CONTAINER_BYTES or self.due == 0.0
            size = len(self._held) if all_of_it or old else 0
        taken = bytes(self._held[:size])
        if taken:
            del self._held[:size]
            self._since = self._clock()
        return taken

    def _samples_end(self, all_of_it: bool) -> int:
        """Return where the next segment of samples ends, in bytes."""
        longest = round(LONGEST * PCM_SECOND)
        shortest = round(SHORTEST * PCM_SECOND)
        if len(self._held) >= shortest + 2 * _FRAME * _PAUSE_FRAMES:
            whole = min(len(self._held), longest) // SAMPLE_BYTES * SAMPLE_BYTES
            samples = np.frombuffer(bytes(self._held[:whole]), "<i2").astype(np.float32)
            cut = pause_in(samples, shortest // SAMPLE_BYTES)
            if cut is None and len(self._held) >= longest:
                cut = quietest_in(samples, shortest // SAMPLE_BYTES)
            if cut is not None:
                return cut * SAMPLE_BYTES
        return min(len(self._held), longest) // SAMPLE_BYTES * SAMPLE_BYTES if all_of_it else 0


def pause_in(samples: np.ndarray[tuple[int], np.dtype[np.float32]], earliest: int) -> int | None:
    """Return the middle of the first pause of 0.3 s in ``samples`` (shape [n]) from sample ``earliest`` on."""
    loudness = _loudness(samples)
    quiet = loudness < _QUIET * np.percentile(loudness, 90)
    run = 0
    for frame in range(earliest // _FRAME, len(loudness)):
        run = run + 1 if quiet[frame] else 0
        if run == _PAUSE_FRAMES:
            return (frame + 1) * _FRAME - _PAUSE_FRAMES * _FRAME // 2
    return None


def quietest_in(samples: np.ndarray[tuple[int], np.dtype[np.float32]], earliest: int) -> int:
    """Return the middle of the quietest 60 ms of ``samples`` (shape [n]) from sample ``earliest`` on."""
    loudness = np.convolve(_loudness(samples), np.ones(3), "same")
    first = earliest // _FRAME
    return (first + int(np.argmin(loudness[first:]))) * _FRAME + _FRAME // 2


def _loudness(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    whole = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    return np.asarray(np.sqrt(np.square(whole).mean(axis=1)), np.float32)


@dataclass(frozen=True, slots=True)
class Streamed:
    """A segment that is durable, and the offset in the client's stream up to which everything is."""

    segment: Segment
    offset: int
    start: float
    """Seconds of the recording before it."""


@dataclass
class AudioStream:
    """One connection's share of a recording: bytes go in, durable segments come out, in order.

    One task calls :meth:`push` and :meth:`end`, another iterates over :meth:`segments`.
    """

    audio: AudioService
    actor: Actor
    recording: AudioRecording
    form: StreamFormat
    offset: int = 0
    """Bytes of the stream that are durable."""
    index: int = 0
    """Of the next segment."""
    seconds: float = 0.0
    """Seconds of sound in what is durable."""
    stored: tuple[Streamed, ...] = ()
    """The segments that were durable before this connection."""
    most_bytes: int = 2 * 1024**3
    clock: Callable[[], float] = time.monotonic
    received: int = 0
    """Bytes of the stream that came, those before this connection included."""
    _cutter: SegmentCutter = field(init=False)
    _changed: asyncio.Condition = field(init=False, default_factory=asyncio.Condition)
    _ended: bool = field(init=False, default=False)
    _over: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._cutter = SegmentCutter(self.form, self.clock)
        self.received = self.offset

    async def push(self, data: bytes) -> None:
        """Take a message; waits while too much is not durable yet.

        Raises TooFastError if that does not end, InvalidFieldError if the stream is longer than a recording may be.
        """
        if self.received + len(data) > self.most_bytes:
            raise InvalidFieldError("file", "The recording is longer than this server takes; begin another one.")
        async with self._changed:
            self._cutter.add(data)
            self.received += len(data)
            self._changed.notify_all()
            try:
                async with asyncio.timeout(STALLED):
                    await self._changed.wait_for(lambda: self.received - self.offset <= MOST_PENDING or self._ended)
            except TimeoutError:
                raise TooFastError(
                    "More came than could be stored; go on from the acknowledged offset later."
                ) from None

    async def end(self) -> None:
        """Have what is held stored as the last segment; nothing is pushed any more."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def segments(self) -> AsyncIterator[Streamed]:
        """Store segment after segment, and yield each once it is durable; ends after :meth:`end`.

        Raises what ``AudioService.add_segment`` raises.
        """
        try:
            async for streamed in self._stored_one_by_one():
                yield streamed
        finally:
            self._over.set()

    async def give_up(self) -> None:
        """Have what is held stored, and return once this stream stores nothing any more."""
        await self.end()
        await self._over.wait()

    def let_go(self) -> None:
        """Say that nothing is stored any more, whatever was begun."""
        self._over.set()

    async def _stored_one_by_one(self) -> AsyncIterator[Streamed]:
        while data := await self._next():
            segment, _ = await self.audio.add_segment(
                self.actor,
                self.recording.organization_id,
                self.recording.encounter_id,
                self.recording.id,
                self.index,
                _whole(self.form.segment(data)),
            )
            async with self._changed:
                self.index += 1
                self.offset += len(data)
                start, self.seconds = self.seconds, self.seconds + (segment.seconds or 0.0)
                self._changed.notify_all()
            yield Streamed(segment, self.offset, start)

    async def _next(self) -> bytes:
        """Wait for the bytes of the next segment; empty at the end."""
        async with self._changed:
            while True:
                taken = self._cutter.take(all_of_it=self._ended)
                if taken or self._ended:
                    return taken
                try:
                    async with asyncio.timeout(self._cutter.due):
                        await self._changed.wait()
                except TimeoutError:
                    continue


class AudioStreams:
    """Opens the streams of this process: new recordings, and those that a lost connection left open."""

    def __init__(self, *, audio: AudioService, most_bytes: int) -> None:
        self._audio = audio
        self._most_bytes = most_bytes
        self._open: dict[str, AudioStream] = {}

    @asynccontextmanager
    async def begin(
        self, actor: Actor, organization_id: str, encounter_id: str, form: StreamFormat
    ) -> AsyncIterator[AudioStream]:
        """Stream into a new recording. Raises NotFoundError, ConsentRequiredError, ErasedError."""
        recording = await self._audio.start_recording(actor, organization_id, encounter_id, media_type=form.media_type)
        stream = AudioStream(self._audio, actor, recording, form, most_bytes=self._most_bytes)
        async with self._kept(stream):
            yield stream

    @asynccontextmanager
    async def resume(
        self, actor: Actor, organization_id: str, encounter_id: str, recording_id: str, form: StreamFormat
    ) -> AsyncIterator[AudioStream]:
        """Go on with a recording from its durable offset; a connection that still holds it here is ended first.

        Raises NotFoundError, ErasedError, ConflictError: it is finished, of another format, or was not streamed.
        """
        await self._audio.segments(organization_id, encounter_id, recording_id)  # of this encounter, or nothing ends
        former = self._open.get(recording_id)
        if former is not None:
            try:
                async with asyncio.timeout(TAKE_OVER):
                    await former.give_up()
            except TimeoutError:
                raise ConflictError("Another connection still stores what it received; try again.") from None
        recording, segments = await self._audio.segments(organization_id, encounter_id, recording_id)
        if recording.state is RecordingState.ERASED:
            raise ErasedError("The audio of this recording was erased for good.")
        if recording.state is not RecordingState.OPEN:
            raise ConflictError("The recording is finished; begin another one.")
        if recording.media_type != form.media_type or missing_indexes([segment.index for segment in segments]):
            raise ConflictError("The recording was not streamed in this format; begin another one.")
        stored: list[Streamed] = []
        offset, seconds = 0, 0.0
        for segment in segments:
            offset += form.length(segment)
            stored.append(Streamed(segment, offset, seconds))
            seconds += segment.seconds or 0.0
        stream = AudioStream(
            self._audio,
            actor,
            recording,
            form,
            offset=offset,
            index=len(segments),
            seconds=seconds,
            stored=tuple(stored),
            most_bytes=self._most_bytes,
        )
        async with self._kept(stream):
            yield stream

    @asynccontextmanager
    async def _kept(self, stream: AudioStream) -> AsyncIterator[None]:
        self._open[stream.recording.id] = stream
        try:
            yield
        finally:
            stream.let_go()
            if self._open.get(stream.recording.id) is stream:
                del self._open[stream.recording.id]


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
