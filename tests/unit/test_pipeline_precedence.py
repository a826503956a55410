"""Live segments go ahead of whole recordings on the engines of a process; models are loaded late and once."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from osler.audio.model import SAMPLE_RATE, Samples
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import EngineError
from osler.kernel.spans import TimeSpan
from osler.pipeline.precedence import SpeechEngines
from osler.speech.model import HeardWord, Transcript
from osler.speech.ports import Recognition
from osler.speech.service import SpeechService
from tests.pipeline_lab import ToneDetector, ToneEncoder

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds for what has to happen, on whatever machine."""


class Hold:
    """Stops an engine inside one of its pieces of work until it may go on, so that what happens then has an order."""

    def __init__(self, at: int) -> None:
        """``at``: which piece, counted from one."""
        self.pieces = 0
        self._at = at
        self._free = threading.Event()

    @property
    def is_reached(self) -> bool:
        return self.pieces >= self._at

    def piece(self) -> None:
        """Begin another piece."""
        self.pieces += 1
        if self.pieces == self._at:
            assert self._free.wait(PATIENCE), "nobody let it go on"

    def go_on(self) -> None:
        self._free.set()


class Noise:
    """So many seconds of loud sound."""

    warnings = ()

    def __init__(self, seconds: int) -> None:
        self._length = seconds
        self.seconds = 0.0
        self.declared: float | None = None
        self.truncated = False

    def __iter__(self) -> Iterator[Samples]:
        for _ in range(self._length):
            self.seconds += 1
            yield np.ones(SAMPLE_RATE, np.float32)


class SteppingTranscriber:
    """Works on a second of sound at a time, reports after each, and notes of which length the sound was."""

    record = EngineRecord("stepping", "1")

    def __init__(self, **holds: Hold) -> None:
        """``holds``: by the length of the sound, ``s60=...`` for one of 60 seconds."""
        self.log: list[int] = []
        self._holds = holds
        self.working = 0
        self._lock = threading.Lock()

    def transcribe(
        self,
        samples: Samples,
        regions: Sequence[TimeSpan],
        *,
        language: str | None,
        vocabulary: str,
        done: Callable[[float], None] = lambda seconds: None,
    ) -> Recognition:
        length = len(samples) // SAMPLE_RATE
        for second in range(length):
            with self._lock:
                self.working += 1
                self.log.append(length)
            if (hold := self._holds.get(f"s{length}")) is not None:
                hold.piece()
            with self._lock:
                self.working -= 1
            done(second + 1.0)
        return Recognition(tuple(HeardWord(f"w{s}", s + 0.1, s + 0.9, 0.9) for s in range(length)), "en")


def engines_on(transcriber: SteppingTranscriber) -> SpeechEngines:
    return SpeechEngines(lambda: SpeechService(ToneDetector(), transcriber, ToneEncoder()))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


async def standing_in_line(engines: SpeechEngines, sound: Noise) -> "asyncio.Task[Transcript]":
    """Have a live segment come behind one that is held; return once it stands in the line."""
    before = engines._precedence._live
    task = asyncio.create_task(engines.live(sound, "en"))
    await until(lambda: engines._precedence._live > before)
    return task


async def test_a_recording_pauses_after_its_piece_of_work_for_a_live_segment_and_goes_on_after_it() -> None:
    recording, segment = Hold(at=4), Hold(at=2)
    transcriber = SteppingTranscriber(s60=recording, s5=segment)
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(Noise(60), "en"))
    await until(lambda: recording.is_reached)
    live = asyncio.create_task(engines.live(Noise(5), "en"))
    await until(lambda: segment.is_reached)  # while the recording is at its piece
    recording.go_on()
    await asyncio.sleep(0.05)  # in which a recording that does not pause would come further
    segment.go_on()
    words = [[w.heard for t in (await task).turns for w in t.words] for task in (live, batch)]
    assert transcriber.log == [60] * 4 + [5] * 5 + [60] * 56
    # Both are whole: the pause lost and doubled nothing.
    assert words == [[f"w{s}" for s in range(5)], [f"w{s}" for s in range(60)]]


class Mishearing(SteppingTranscriber):
    """Hears a blood pressure that cannot be, in words of a second each, so that it is asked to listen again."""

    def transcribe(
        self,
        samples: Samples,
        regions: Sequence[TimeSpan],
        *,
        language: str | None,
        vocabulary: str,
        done: Callable[[float], None] = lambda seconds: None,
    ) -> Recognition:
        super().transcribe(samples, regions, language=language, vocabulary=vocabulary, done=done)
        words = ("145", "over", "192")
        return Recognition(tuple(HeardWord(word, s + 0.1, s + 0.9, 0.9) for s, word in enumerate(words)), "en")


async def test_a_live_segment_does_not_wait_for_the_end_of_a_second_hearing() -> None:
    hold = Hold(at=64)
    transcriber = Mishearing(s60=hold)
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(Noise(60), "en"))
    await until(lambda: hold.is_reached)
    await engines.live(Noise(5), "en")
    assert hold.pieces == 64
    hold.go_on()
    await batch
    assert transcriber.log.count(60) == 120


class SteppingDetector(ToneDetector):
    """Looks through a second of sound at a time, those of five minutes with a hold."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold

    def regions(self, samples: Samples, *, between: Callable[[], None] = lambda: None) -> list[TimeSpan]:
        seconds = len(samples) // SAMPLE_RATE
        for _ in range(seconds):
            between()
            if seconds == 300:
                self._hold.piece()
        return super().regions(samples)


async def test_a_live_segment_does_not_wait_until_a_recording_was_searched_for_speech() -> None:
    hold, transcriber = Hold(at=4), SteppingTranscriber()
    engines = SpeechEngines(lambda: SpeechService(SteppingDetector(hold), transcriber, ToneEncoder()))
    batch = asyncio.create_task(engines.batch(Noise(300), "en"))
    await until(lambda: hold.is_reached)
    await engines.live(Noise(5), "en")
    assert transcriber.log == [5] * 5 and hold.pieces == 4
    hold.go_on()
    await batch


class Arriving(Noise):
    """Sound of which a second at a time is decoded."""

    def __init__(self, seconds: int, hold: Hold) -> None:
        super().__init__(seconds)
        self._hold = hold

    def __iter__(self) -> Iterator[Samples]:
        for chunk in super().__iter__():
            self._hold.piece()
            yield chunk


async def test_a_live_segment_does_not_wait_until_a_recording_was_decoded() -> None:
    hold, transcriber = Hold(at=4), SteppingTranscriber()
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(Arriving(300, hold), "en"))
    await until(lambda: hold.is_reached)
    await engines.live(Noise(5), "en")
    assert transcriber.log == [5] * 5 and hold.pieces == 4
    hold.go_on()
    await batch


async def test_many_live_segments_all_go_ahead_and_recordings_keep_their_order() -> None:
    hold = Hold(at=4)
    transcriber = SteppingTranscriber(s30=hold)
    engines = engines_on(transcriber)
    first = asyncio.create_task(engines.batch(Noise(30), "en"))
    await until(lambda: hold.is_reached)
    second = asyncio.create_task(engines.batch(Noise(20), "en"))
    await asyncio.gather(*(engines.live(Noise(4), "en") for _ in range(3)))
    hold.go_on()
    await asyncio.gather(first, second)
    assert transcriber.log == [30] * 4 + [4] * 12 + [30] * 26 + [20] * 20


async def test_the_service_is_loaded_when_it_is_first_needed_and_once() -> None:
    loaded = []

    def load() -> SpeechService:
        loaded.append(threading.current_thread())
        time.sleep(0.02)
        return SpeechService(ToneDetector(), SteppingTranscriber(), ToneEncoder())

    engines = SpeechEngines(load)
    assert loaded == []
    await asyncio.gather(engines.live(Noise(2), "en"), engines.batch(Noise(2), "en"))
    assert len(loaded) == 1 and loaded[0] is not threading.main_thread()


async def test_a_service_that_cannot_be_loaded_is_tried_again_by_the_next() -> None:
    services: list[EngineError | SpeechService] = [
        EngineError("no weights"),
        SpeechService(ToneDetector(), SteppingTranscriber(), ToneEncoder()),
    ]

    def load() -> SpeechService:
        service = services.pop(0)
        if isinstance(service, EngineError):
            raise service
        return service

    engines = SpeechEngines(load)
    with pytest.raises(EngineError):
        await engines.live(Noise(2), "en")
    assert (await engines.live(Noise(2), "en")).turns


async def test_closing_breaks_off_what_goes_on_and_says_that_it_may_be_tried_again() -> None:
    hold = Hold(at=4)
    transcriber = SteppingTranscriber(s500=hold)
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(Noise(500), "en"))
    await until(lambda: hold.is_reached)
    engines.close()
    hold.go_on()
    with pytest.raises(EngineError) as caught:
        await batch
    assert caught.value.retryable
    assert transcriber.log == [500] * 4 and transcriber.working == 0
    with pytest.raises(EngineError):
        await engines.live(Noise(2), "en")


async def test_work_that_nobody_waits_for_any_more_gives_its_turn_away() -> None:
    hold = Hold(at=4)
    transcriber = SteppingTranscriber(s500=hold)
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(Noise(500), "en"))
    await until(lambda: hold.is_reached)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    hold.go_on()
    assert (await engines.batch(Noise(2), "en")).turns
    assert transcriber.log == [500] * 4 + [2] * 2


async def test_a_recording_that_fails_gives_its_turn_away() -> None:
    class Failing(SteppingTranscriber):
        def transcribe(self, *args: object, **options: object) -> Recognition:
            raise EngineError("broken")

    transcriber = Failing()
    engines = engines_on(transcriber)
    for work in (engines.batch, engines.live, engines.batch):
        with pytest.raises(EngineError, match="broken"):
            await work(Noise(2), "en")


class CountingEncoder(ToneEncoder):
    """Counts how many sounds it was asked for."""

    def __init__(self) -> None:
        self.sounds = 0

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sounds += 1
        return super().embed(windows)


async def test_live_segments_are_heard_in_the_order_in_which_they_came() -> None:
    hold = Hold(at=2)
    transcriber = SteppingTranscriber(s9=hold)
    engines = engines_on(transcriber)
    first = asyncio.create_task(engines.live(Noise(9), "en"))
    await until(lambda: hold.is_reached)
    others = [await standing_in_line(engines, Noise(seconds)) for seconds in (3, 5, 2, 4)]
    hold.go_on()
    await asyncio.gather(first, *others)
    assert list(dict.fromkeys(transcriber.log)) == [9, 3, 5, 2, 4]


async def test_while_further_segments_wait_language_alone_says_who_speaks() -> None:
    hold, encoder = Hold(at=2), CountingEncoder()
    transcriber = SteppingTranscriber(s9=hold)
    engines = SpeechEngines(lambda: SpeechService(ToneDetector(), transcriber, encoder))
    batch = asyncio.create_task(engines.batch(Noise(30), "en"))
    first = asyncio.create_task(engines.live(Noise(9), "en"))
    await until(lambda: hold.is_reached)
    others = [await standing_in_line(engines, Noise(2)) for _ in range(2)]
    hold.go_on()
    await first
    second, third = await asyncio.gather(*others)
    assert [transcript.diarizer is None for transcript in (second, third)] == [True, False]
    assert not second.warnings and not third.warnings
    assert second.turns[0].heard == third.turns[0].heard
    # The whole is heard with voices, whatever waits.
    whole = await batch
    assert whole.diarizer is not None and encoder.sounds > 0


async def test_engines_are_made_ready_before_they_are_needed_and_by_their_own_turn() -> None:
    transcriber, loaded = SteppingTranscriber(), []

    def load() -> SpeechService:
        loaded.append(threading.current_thread())
        return SpeechService(ToneDetector(), transcriber, ToneEncoder())

    engines = SpeechEngines(load)
    await engines.warm_up()
    assert len(loaded) == 1 and loaded[0] is not threading.main_thread() and transcriber.log == [1]
    await engines.live(Noise(2), "en")
    assert len(loaded) == 1


async def test_a_live_segment_is_heard_by_the_quick_transcriber_and_a_recording_by_the_careful_one() -> None:
    careful, quick = SteppingTranscriber(), SteppingTranscriber()
    engines = SpeechEngines(lambda: SpeechService(ToneDetector(), careful, ToneEncoder(), quick=quick))
    await engines.live(Noise(2), "en")
    assert (len(careful.log), len(quick.log)) == (0, 2)
    await engines.batch(Noise(3), "en")
    assert (len(careful.log), len(quick.log)) == (3, 2)
