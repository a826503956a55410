"""From a recording to a transcript: block by block to words and voices, then to speakers and turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from osler.audio.decode import open_recording
from osler.audio.ports import Sound
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import NoSpeechError
from osler.kernel.progress import Progress, silent
from osler.kernel.spans import TimeSpan
from osler.speech.attribution import attribute
from osler.speech.blocks import Block, blocks
from osler.speech.diarization import Voices, diarizer_record, find_speakers, hear_voices, word_affinity
from osler.speech.model import HeardWord, Transcript, Turn
from osler.speech.ports import SAMPLE_RATE, SpeakerEncoder, SpeechDetector, Transcriber
from osler.speech.second_hearing import hear_again
from osler.speech.turns import build_turns
from osler.speech.vocabulary import decoder_bias
from osler.speech.word_times import fit_words

TURN_MARGIN: Final = 0.1
"""Seconds by which a turn reaches into the pauses around it, at most to their middle: soft onsets and endings belong
to it, and a quote that is played back should not begin inside a sound."""

_SOUND_FAILED: Final = "The speakers could not be told apart by sound; who said what is decided by language alone."


@dataclass(frozen=True, slots=True)
class _Manner:
    """How carefully is listened: ``again``: twice where what was heard cannot be; ``by_sound``: who spoke, by voice."""

    transcriber: Transcriber
    again: bool = True
    by_sound: bool = True


class SpeechService:
    """Transcribes recordings with the engines that it is given. One recording at a time per service."""

    def __init__(
        self,
        detector: SpeechDetector,
        transcriber: Transcriber,
        encoder: SpeakerEncoder,
        *,
        quick: Transcriber | None = None,
    ) -> None:
        """``quick`` hears what is only wanted soon (:meth:`glance`); by default as all else is heard."""
        self._detector = detector
        self._careful = _Manner(transcriber)
        self._hurried = _Manner(quick or transcriber, again=False)
        self._encoder = encoder

    def transcribe(
        self,
        source: Path | Sound,
        *,
        language: str | None = "en",
        speakers: int | None = None,
        progress: Progress = silent,
    ) -> Transcript:
        """Return the transcript of the recording at the path ``source``, or of sound that is being decoded.

        ``language`` (ISO 639-1) None detects it; ``speakers`` None estimates their number, 1 to 4. At most one block
        of ten minutes is held decoded at a time. ``progress`` is called between any two pieces of work of the engines;
        a BaseException that is no Exception, raised by it, ends the work. When telling voices apart fails, the words
        are kept and attributed by language alone, and a warning says so.

        Raises UnreadableFileError, NotAudioError, EmptyAudioError, NoSpeechError and EngineError.
        """
        recording = open_recording(source) if isinstance(source, Path) else source
        return self._hear(recording, self._careful, language, speakers, progress)

    def glance(
        self, sound: Sound, *, language: str | None = "en", voices: bool = True, progress: Progress = silent
    ) -> Transcript:
        """Return what a segment of a recording that still goes on holds: soon, and less carefully than the whole.

        The words come from the quick transcriber, without a second hearing; with ``voices`` False language alone says
        who spoke. Otherwise as :meth:`transcribe`.
        """
        return self._hear(sound, replace(self._hurried, by_sound=voices), language, None, progress)

    def load(self) -> None:
        """Have the engines load their models now, by a second of silence. Raises EngineError, WeightsError."""
        silence = np.zeros(SAMPLE_RATE, np.float32)
        self._detector.regions(silence)
        self._encoder.embed(silence[np.newaxis])
        for transcriber in dict.fromkeys((self._hurried.transcriber, self._careful.transcriber)):
            transcriber.transcribe(silence, [TimeSpan(0.0, 1.0)], language=None, vocabulary="")

    def _hear(
        self, recording: Sound, manner: "_Manner", language: str | None, speakers: int | None, progress: Progress
    ) -> Transcript:
        words: list[HeardWord] = []
        voices: list[Voices] = []
        sound = manner.by_sound
        reached = 0.0

        def report(second: float) -> None:
            nonlocal reached
            reached = second
            progress("Transcribing", second, max(recording.declared or 0.0, second))

        report(0.0)
        for block in blocks(recording, self._detector, between=lambda: report(reached)):
            heard, language = self._words(block, manner, language, report)
            words += heard
            if heard and sound:
                try:
                    voices.append(hear_voices(block, _Reporting(self._encoder, partial(report, block.end))))
                except Exception:  # noqa: BLE001  (the words are there, whatever went wrong with the voices)
                    sound = False
            report(block.end)
        if not words:
            raise NoSpeechError(
                "No speech was heard in this recording (silence, music or noise?); check the microphone."
            )
        affinity = self._affinity(words, voices, speakers) if sound else None
        attribution = attribute(words, _unheard(len(words), speakers) if affinity is None else affinity)
        turns, people = build_turns(words, attribution)
        return Transcript(
            turns=_with_margins(turns, recording.seconds),
            speakers=people,
            language=language or "en",
            duration=recording.seconds,
            engine=manner.transcriber.record,
            diarizer=diarizer_record(self._encoder, self._detector.record, speakers) if manner.by_sound else None,
            incomplete=recording.truncated,
            warnings=(*recording.warnings, *((_SOUND_FAILED,) if affinity is None and manner.by_sound else ())),
        )

    def _words(
        self, block: Block, manner: "_Manner", language: str | None, report: Callable[[float], None]
    ) -> tuple[list[HeardWord], str | None]:
        """Return the words of a block, in seconds of the recording, and the language: found in the first speech."""
        if not block.regions:
            return [], language
        vocabulary = decoder_bias()
        recognition = manner.transcriber.transcribe(
            block.samples,
            block.regions,
            language=language,
            vocabulary=vocabulary,
            done=lambda seconds: report(block.start + seconds),
        )
        words = recognition.words
        if manner.again:
            words = hear_again(
                words,
                block.samples,
                block.regions,
                manner.transcriber,
                recognition.language,
                done=lambda _: report(block.end),
            )
        placed = fit_words(words, block.regions)
        moved = [replace(w, start=w.start + block.start, end=w.end + block.start) for w in placed]
        return moved, language or (recognition.language if moved else None)

    def _affinity(
        self, words: Sequence[HeardWord], voices: Sequence[Voices], speakers: int | None
    ) -> NDArray[np.float32] | None:
        """Return how well each word fits each voice, None when telling them apart fails."""
        try:
            return word_affinity(words, voices, find_speakers(voices, speakers))
        except Exception:  # noqa: BLE001  (the words are there, whatever went wrong with the voices)
            return None


_AT_ONCE: Final = 64
"""Windows of voice that are embedded between two reports: about a second of work."""


class _Reporting:
    """A speaker encoder that reports before each of its batches: a ten-minute block has many."""

    def __init__(self, encoder: SpeakerEncoder, report: Callable[[], None]) -> None:
        self._encoder = encoder
        self._report = report

    @property
    def record(self) -> EngineRecord:
        return self._encoder.record

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        pieces = []
        for first in range(0, max(len(windows), 1), _AT_ONCE):
            self._report()
            pieces.append(self._encoder.embed(windows[first : first + _AT_ONCE]))
        return np.concatenate(pieces)


def _unheard(words: int, speakers: int | None) -> NDArray[np.float32]:
    """Return the affinity of words that nothing is known of: to two people, unless their number was given."""
    people = speakers or 2
    return np.full((words, people), -np.log(people), np.float32)


def _with_margins(turns: Sequence[Turn], duration: float) -> tuple[Turn, ...]:
    """Let each turn reach into the pauses around it."""
    spans = [TimeSpan(turn.start or 0.0, turn.end or 0.0) for turn in turns]
    before = [0.0, *((a.end + max(a.end, b.start)) / 2 for a, b in pairwise(spans))]
    after = [*((min(a.end, b.start) + b.start) / 2 for a, b in pairwise(spans)), duration]
    return tuple(
        replace(
            turn,
            start=round(min(span.start, max(span.start - TURN_MARGIN, low)), 3),
            end=round(max(span.end, min(span.end + TURN_MARGIN, high)), 3),
        )
        for turn, span, low, high in zip(turns, spans, before, after, strict=True)
    )
