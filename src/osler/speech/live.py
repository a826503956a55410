"""What is heard while a recording goes on, told as soon as it is written down: one look at the database for all."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from osler.audio.model import AudioRecording, SegmentStatus
from osler.audio.ports import RecordingRepository
from osler.kernel.transactions import Database
from osler.speech.model import SegmentTranscript, TranscriptVersion
from osler.speech.ports import TranscriptRepository

INTERVAL: Final = 0.25
"""Seconds between two looks while anybody waits for words."""

AGAIN: Final = 2.0
"""Seconds until the next look after one that failed."""

MOST_AT_ONCE: Final = 500
"""Segments that one look asks for; the rest have the next one."""

_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SegmentHeard:
    """A segment is settled: ``heard`` is None if it could not be transcribed by itself."""

    segment_id: str
    heard: SegmentTranscript | None


@dataclass(frozen=True, slots=True)
class RecordingHeard:
    """A recording has ended: complete, failed or erased. ``version`` None: no speech in it, or no transcript."""

    recording: AudioRecording
    version: TranscriptVersion | None


@dataclass
class Listening:
    """Somebody who waits for words of one recording: iterate over what is heard."""

    organization_id: str
    recording_id: str
    _awaited: list[str] = field(default_factory=list)
    _final: bool = False
    _news: "asyncio.Queue[SegmentHeard | RecordingHeard]" = field(default_factory=asyncio.Queue)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, segment_ids: Sequence[str]) -> None:
        """Wait for these segments too."""
        self._awaited += segment_ids
        self._wake.set()

    def expect_end(self) -> None:
        """Wait for the final transcript, and for no segment any more."""
        self._awaited.clear()
        self._final = True
        self._wake.set()

    async def __aiter__(self) -> AsyncIterator[SegmentHeard | RecordingHeard]:
        while True:
            told = await self._news.get()
            yield told
            if isinstance(told, RecordingHeard):
                return


class LiveTexts:
    """Watches for words on behalf of all who listen in this process: one short query per tenant and look."""

    def __init__(
        self,
        *,
        database: Database,
        recordings: RecordingRepository,
        transcripts: TranscriptRepository,
        interval: float = INTERVAL,
    ) -> None:
        self._database = database
        self._recordings = recordings
        self._transcripts = transcripts
        self._interval = interval
        self._listening: list[Listening] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def listen(self, organization_id: str, recording_id: str) -> Iterator[Listening]:
        """Be told what is heard in a recording, inside the block; only within a running event loop."""
        listening = Listening(organization_id, recording_id, _wake=self._wake)
        self._listening.append(listening)
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="live texts")
        try:
            yield listening
        finally:
            self._listening.remove(listening)
            if not self._listening:
                self._task.cancel()
                self._task = None

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            waiting = [each for each in self._listening if each._awaited or each._final]
            if not waiting:
                await self._wake.wait()
                continue
            try:
                for organization_id in {each.organization_id for each in waiting}:
                    await self._look([each for each in waiting if each.organization_id == organization_id])
            except Exception as error:  # noqa: BLE001  (whatever it was, those who listen must not wait for ever)
                _log.error("texts of live segments could not be looked for", exc_info=error)
                await asyncio.sleep(AGAIN)
            await asyncio.sleep(self._interval)

    async def _look(self, waiting: Sequence[Listening]) -> None:
        """Tell those of one tenant what was settled since the last look."""
        organization_id = waiting[0].organization_id
        awaited = [segment for each in waiting for segment in each._awaited][:MOST_AT_ONCE]
        ending = [each.recording_id for each in waiting if each._final]
        heard: dict[str, SegmentTranscript] = {}
        ended: dict[str, RecordingHeard] = {}
        async with self._database.read() as transaction:
            settled = await self._recordings.settled_segments(transaction, organization_id, awaited) if awaited else {}
            ready = [segment for segment, status in settled.items() if status is SegmentStatus.READY]
            if ready:
                texts = await self._transcripts.of_segments(transaction, organization_id, ready)
                heard = {text.segment_id: text for text in texts}
            for recording in await self._recordings.ended(transaction, organization_id, ending) if ending else ():
                version = await self._transcripts.of_recording(transaction, organization_id, recording.id)
                ended[recording.id] = RecordingHeard(recording, version)
        for each in waiting:
            for segment in [segment for segment in each._awaited if segment in settled]:
                each._awaited.remove(segment)
                each._news.put_nowait(SegmentHeard(segment, heard.get(segment)))
            if each._final and each.recording_id in ended:
                each._final = False
                each._news.put_nowait(ended[each.recording_id])
