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
from osler.speech.model import HeardWord
from osler.speech.ports import Recognition
from osler.speech.service import SpeechService
from tests.pipeline_lab import ToneDetector, ToneEncoder

pytestmark = pytest.mark.anyio


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


class SlowTranscriber:
    """Takes ``pace`` seconds for each second of sound, reports after each, and notes what it worked on and when."""

    record = EngineRecord("slow", "1")

    def __init__(self, pace: float = 0.01) -> None:
        self.pace = pace
        self.log: list[int] = []
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
            time.sleep(self.pace)
            with self._lock:
                self.working -= 1
            done(second + 1.0)
        return Recognition(tuple(HeardWord(f"w{s}", s + 0.1, s + 0.9, 0.9) for s in range(length)), "en")


def engines_on(transcriber: SlowTranscriber) -> SpeechEngines:
    return SpeechEngines(lambda: SpeechService(ToneDetector(), transcriber, ToneEncoder()))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_recording_pauses_after_its_piece_of_work_for_a_live_segment_and_goes_on_after_it() -> None:
    transcriber = SlowTranscriber()
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(Noise(60), "en"))
    await until(lambda: len(transcriber.log) > 3)
    begun = len(transcriber.log)
    live = await engines.live(Noise(5), "en")
    assert not batch.done()
    first = transcriber.log.index(5)
    assert first <= begun + 2
    heard = await batch
    # One piece of the recording may begin as the segment comes; no other does before the segment's end.
    assert transcriber.log[first : first + 6].count(5) == 5
    # Both are whole: the pause lost and doubled nothing.
    assert [w.heard for t in live.turns for w in t.words] == [f"w{s}" for s in range(5)]
    assert [w.heard for t in heard.turns for w in t.words] == [f"w{s}" for s in range(60)]


class Mishearing(SlowTranscriber):
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
    transcriber = Mishearing()
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(Noise(60), "en"))
    await until(lambda: len(transcriber.log) > 63)
    begun = len(transcriber.log)
    await engines.live(Noise(5), "en")
    assert transcriber.log.index(5) <= begun + 2
    await batch
    assert transcriber.log.count(60) == 120


class SlowDetector(ToneDetector):
    """Looks through a second of sound at a time, and counts them."""

    def __init__(self) -> None:
        self.looks = 0

    def regions(self, samples: Samples, *, between: Callable[[], None] = lambda: None) -> list[TimeSpan]:
        for _ in range(len(samples) // SAMPLE_RATE):
            between()
            self.looks += 1
            time.sleep(0.01)
        return super().regions(samples)


async def test_a_live_segment_does_not_wait_until_a_recording_was_searched_for_speech() -> None:
    detector, transcriber = SlowDetector(), SlowTranscriber(pace=0.0)
    engines = SpeechEngines(lambda: SpeechService(detector, transcriber, ToneEncoder()))
    batch = asyncio.create_task(engines.batch(Noise(300), "en"))
    await until(lambda: detector.looks > 3)
    await engines.live(Noise(5), "en")
    assert set(transcriber.log) == {5} and detector.looks < 150
    await batch


class Arriving(Noise):
    """Sound that is decoded slowly."""

    def __iter__(self) -> Iterator[Samples]:
        for chunk in super().__iter__():
            time.sleep(0.01)
            yield chunk


async def test_a_live_segment_does_not_wait_until_a_recording_was_decoded() -> None:
    transcriber, sound = SlowTranscriber(pace=0.0), Arriving(300)
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(sound, "en"))
    await until(lambda: sound.seconds > 3)
    await engines.live(Noise(5), "en")
    assert set(transcriber.log) == {5} and sound.seconds < 150
    await batch


async def test_many_live_segments_all_go_ahead_and_recordings_keep_their_order() -> None:
    transcriber = SlowTranscriber(pace=0.005)
    engines = engines_on(transcriber)
    first = asyncio.create_task(engines.batch(Noise(30), "en"))
    await until(lambda: len(transcriber.log) > 3)
    second = asyncio.create_task(engines.batch(Noise(20), "en"))
    await asyncio.gather(*(engines.live(Noise(4), "en") for _ in range(3)))
    assert not first.done()
    await asyncio.gather(first, second)
    assert max(i for i, n in enumerate(transcriber.log) if n == 30) < transcriber.log.index(20)


async def test_the_service_is_loaded_when_it_is_first_needed_and_once() -> None:
    loaded = []

    def load() -> SpeechService:
        loaded.append(threading.current_thread())
        time.sleep(0.02)
        return SpeechService(ToneDetector(), SlowTranscriber(), ToneEncoder())

    engines = SpeechEngines(load)
    assert loaded == []
    await asyncio.gather(engines.live(Noise(2), "en"), engines.batch(Noise(2), "en"))
    assert len(loaded) == 1 and loaded[0] is not threading.main_thread()


async def test_a_service_that_cannot_be_loaded_is_tried_again_by_the_next() -> None:
    services: list[EngineError | SpeechService] = [
        EngineError("no weights"),
        SpeechService(ToneDetector(), SlowTranscriber(), ToneEncoder()),
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
    transcriber = SlowTranscriber()
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(Noise(500), "en"))
    await until(lambda: len(transcriber.log) > 3)
    engines.close()
    with pytest.raises(EngineError) as caught:
        await batch
    assert caught.value.retryable
    await until(lambda: transcriber.working == 0)
    assert len(transcriber.log) < 100
    with pytest.raises(EngineError):
        await engines.live(Noise(2), "en")


async def test_work_that_nobody_waits_for_any_more_gives_its_turn_away() -> None:
    transcriber = SlowTranscriber()
    engines = engines_on(transcriber)
    batch = asyncio.create_task(engines.batch(Noise(500), "en"))
    await until(lambda: len(transcriber.log) > 3)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert (await engines.batch(Noise(2), "en")).turns
    assert len(transcriber.log) < 100


async def test_a_recording_that_fails_gives_its_turn_away() -> None:
    class Failing(SlowTranscriber):
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
    transcriber = SlowTranscriber(pace=0.02)
    engines = engines_on(transcriber)
    work = [asyncio.create_task(engines.live(Noise(9), "en"))]
    await until(lambda: len(transcriber.log) > 1)
    for seconds in (3, 5, 2, 4):
        work.append(asyncio.create_task(engines.live(Noise(seconds), "en")))
        await asyncio.sleep(0.02)
    await asyncio.gather(*work)
    assert list(dict.fromkeys(transcriber.log)) == [9, 3, 5, 2, 4]


async def test_while_further_segments_wait_language_alone_says_who_speaks() -> None:
    transcriber, encoder = SlowTranscriber(pace=0.02), CountingEncoder()
    engines = SpeechEngines(lambda: SpeechService(ToneDetector(), transcriber, encoder))
    batch = asyncio.create_task(engines.batch(Noise(30), "en"))
    first = asyncio.create_task(engines.live(Noise(100), "en"))
    await until(lambda: 100 in transcriber.log)
    others = [asyncio.create_task(engines.live(Noise(2), "en")) for _ in range(2)]
    await first
    second, third = await asyncio.gather(*others)
    assert sorted(transcript.diarizer is None for transcript in (second, third)) == [False, True]
    assert not second.warnings and not third.warnings
    assert second.turns[0].heard == third.turns[0].heard
    # The whole is heard with voices, whatever waits.
    whole = await batch
    assert whole.diarizer is not None and encoder.sounds > 0


async def test_engines_are_made_ready_before_they_are_needed_and_by_their_own_turn() -> None:
    transcriber, loaded = SlowTranscriber(), []

    def load() -> SpeechService:
        loaded.append(threading.current_thread())
        return SpeechService(ToneDetector(), transcriber, ToneEncoder())

    engines = SpeechEngines(load)
    await engines.warm_up()
    assert len(loaded) == 1 and loaded[0] is not threading.main_thread() and transcriber.log == [1]
    await engines.live(Noise(2), "en")
    assert len(loaded) == 1


async def test_a_live_segment_is_heard_by_the_quick_transcriber_and_a_recording_by_the_careful_one() -> None:
    careful, quick = SlowTranscriber(), SlowTranscriber()
    engines = SpeechEngines(lambda: SpeechService(ToneDetector(), careful, ToneEncoder(), quick=quick))
    await engines.live(Noise(2), "en")
    assert (len(careful.log), len(quick.log)) == (0, 2)
    await engines.batch(Noise(3), "en")
    assert (len(careful.log), len(quick.log)) == (3, 2)
