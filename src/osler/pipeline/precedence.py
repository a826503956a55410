"""Whose turn it is on the speech engines of this process: live segments go ahead of whole recordings."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from osler.audio.ports import Sound
from osler.kernel.errors import EngineError
from osler.speech.model import Transcript
from osler.speech.service import SpeechService

_STOPPED: Final = "Transcription was broken off as this process ends; it is done again from its start."


class _BrokenOffError(BaseException):
    """Ends the work of a thread from inside; no engine may take it for a failure of its own."""


class LiveFirst:
    """Lets live work go ahead: at once, in the order of its coming, one after another.

    Whole recordings call ``give_way`` between two pieces of work (one call of an engine, seconds of computing at most)
    and pause there until no live work waits or goes on: two at once are no faster, as each uses all cores. Live work
    does not wait for the piece that a recording is at; the engine of recordings computes it in threads of low priority,
    so that it takes little from live work. All this holds within one process. Processes share the machine by their
    number of jobs at once: a second worker's batch slows a live segment down, but never keeps it waiting.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._live = 0
        self._came = 0
        self._next = 1
        self._busy = False

    @contextmanager
    def live(self) -> Iterator[bool]:
        """Work ahead of all that is not live, in the order of coming; gives whether more live work waits already."""
        with self._condition:
            self._live += 1
            number = self._came = self._came + 1
            self._condition.wait_for(lambda: not self._busy and number == self._next)
            self._next += 1
            self._busy = True
            more = self._live > 1
        try:
            yield more
        finally:
            with self._condition:
                self._live -= 1
                self._busy = False
                self._condition.notify_all()

    def give_way(self) -> None:
        """Wait until no live work waits or goes on: before a recording is begun, and between its pieces of work."""
        with self._condition:
            self._condition.wait_for(lambda: not self._live)


class SpeechEngines:
    """The speech service of this process: loaded when it is first needed, used by one recording at a time.

    Work is done in threads. When the task that waits for it is cancelled, or after ``close``, the thread ends at its
    next piece of work, within some seconds.
    """

    def __init__(self, load: Callable[[], SpeechService]) -> None:
        """``load`` makes the service, and may take long: it is called once, in a thread."""
        self._load = load
        self._service: SpeechService | None = None
        self._loading = threading.Lock()
        # A whole recording keeps its turn over its pauses; only live work comes between.
        self._recording = threading.Lock()
        self._precedence = LiveFirst()
        self._closed = threading.Event()

    async def warm_up(self) -> None:
        """Load the models now: the first segment of the day would have to wait for them. Raises what loading raises."""
        await asyncio.to_thread(self._warm_up)

    async def live(self, sound: Sound, language: str | None) -> Transcript:
        """Transcribe a segment soon, ahead of whole recordings. Raises what ``SpeechService.glance`` raises.

        While further segments wait, their words are worth more than who said these: voices are not told apart.
        """
        return await self._in_thread(self._transcribe_live, sound, language)

    async def batch(self, sound: Sound, language: str | None) -> Transcript:
        """Transcribe a whole recording. Raises what ``SpeechService.transcribe`` raises."""
        return await self._in_thread(self._transcribe_batch, sound, language)

    def close(self) -> None:
        """Break off what goes on, which fails with a retryable EngineError; nothing can be begun any more.

        Call it after the workflow engine was stopped, which hands over what it cancels: what fails, it does not.
        """
        self._closed.set()

    async def _in_thread(
        self,
        work: Callable[[Sound, str | None, threading.Event], Transcript],
        sound: Sound,
        language: str | None,
    ) -> Transcript:
        abandoned = threading.Event()
        try:
            return await asyncio.to_thread(work, sound, language, abandoned)
        except _BrokenOffError:
            raise EngineError(_STOPPED, retryable=True) from None
        finally:
            abandoned.set()

    def _transcribe_live(self, sound: Sound, language: str | None, abandoned: threading.Event) -> Transcript:
        speech = self._loaded()
        with self._precedence.live() as more:
            self._go_on(abandoned)
            return speech.glance(sound, language=language, voices=not more, progress=lambda *_: self._go_on(abandoned))

    def _transcribe_batch(self, sound: Sound, language: str | None, abandoned: threading.Event) -> Transcript:
        speech = self._loaded()
        with self._recording:
            self._between(abandoned)
            return speech.transcribe(sound, language=language, progress=lambda *_: self._between(abandoned))

    def _between(self, abandoned: threading.Event) -> None:
        self._go_on(abandoned)
        self._precedence.give_way()
        self._go_on(abandoned)

    def _go_on(self, abandoned: threading.Event) -> None:
        if self._closed.is_set() or abandoned.is_set():
            raise _BrokenOffError

    def _warm_up(self) -> None:
        speech = self._loaded()
        with self._recording:
            self._precedence.give_way()
            if not self._closed.is_set():
                speech.load()

    def _loaded(self) -> SpeechService:
        with self._loading:
            if self._service is None:
                self._service = self._load()
            return self._service
