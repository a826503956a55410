"""Speech to text with Whisper through faster-whisper (CTranslate2, int8 on the CPU), deterministic."""

import logging
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from osler.engines.echoes import without_echoes
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import EngineError
from osler.kernel.spans import TimeSpan
from osler.speech.model import HeardWord
from osler.speech.ports import SAMPLE_RATE, Recognition, Samples

WINDOW: Final = 30.0
"""Seconds that Whisper's encoder sees at once (Radford et al. 2022, section 2.1)."""

_MARGIN: Final = 0.3
"""Seconds kept around a region, so that soft onsets and endings are heard."""
_LONGEST_PAUSE: Final = 1.2
"""Seconds; longer pauses are shortened to this: silence invites Whisper to invent."""


_PROMPT: Final = "Okay. Um, so, let's see. {}, and so on. Uh, all right. Well, let's go on, shall we? All right."
"""What the decoder is told was said before each clip. Whisper goes on in the manner of its prompt: sentences with
punctuation (turns are found by it) and hesitations. It says nothing about anybody: what of it is heard again in a pause
and not recognised as an echo does no harm. A bare list of words is worse: Whisper reads the list into pauses."""


class WhisperTranscriber:
    """A Whisper model in CTranslate2 form, read from a local folder.

    ``directory`` holds config.json, model.bin, tokenizer.json and vocabulary.*; ``label`` names the model (for
    instance ``faster-whisper/base``); ``digest`` is the SHA-256 of model.bin as the weights store knows it, recorded
    with every result. Decoding is beam search at temperature 0 (no sampling): the same samples give the same words.
    """

    def __init__(
        self, directory: Path, *, label: str, digest: str = "", threads: int | None = None, beam_size: int = 5
    ) -> None:
        self._directory = directory
        self._label = label
        self._digest = digest
        self._threads = threads or os.cpu_count() or 1
        self._beam_size = beam_size

    @property
    def record(self) -> EngineRecord:
        """Label, version of faster-whisper, and what shaped the words."""
        return EngineRecord(
            self._label,
            version("faster-whisper"),
            {
                "weights_sha256": self._digest[:16],
                "compute_type": "int8",
                "beam_size": self._beam_size,
                "temperature": 0.0,
                "condition_on_previous_text": False,
            },
        )

    def transcribe(
        self, samples: Samples, regions: Sequence[TimeSpan], *, language: str | None, vocabulary: str
    ) -> Recognition:
        """Transcribe the ``regions`` of one block; see the port. Raises EngineError."""
        if not regions:
            return Recognition((), language or "en")
        condensed = condense(samples, regions)
        try:
            language = language or self._detect_language(condensed.samples)
            segments, _ = self._model.transcribe(
                condensed.samples,
                language=language,
                beam_size=self._beam_size,
                temperature=[0.0],
                condition_on_previous_text=False,
                hotwords=_PROMPT.format(vocabulary) if vocabulary and language == "en" else None,
                word_timestamps=True,
                clip_timestamps=[edge for clip in condensed.clips for edge in (clip.start, clip.end)],
            )
            words = tuple(_words(segments, condensed))
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"Speech recognition failed ({type(error).__name__}).") from error
        return Recognition(words, language)

    def _detect_language(self, samples: Samples) -> str:
        """Return the language (ISO 639-1) of the first 30 s."""
        if not self._model.model.is_multilingual:
            return "en"
        found, _, _ = self._model.detect_language(samples[: round(WINDOW * SAMPLE_RATE)])
        return str(found)

    @cached_property
    def _model(self) -> Any:
        from faster_whisper import WhisperModel

        logging.getLogger("faster_whisper").setLevel(logging.WARNING)
        try:
            return WhisperModel(
                str(self._directory),
                device="cpu",
                compute_type="int8",
                cpu_threads=self._threads,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise EngineError(
                f"The speech model cannot be loaded ({type(error).__name__}); run: osler models verify"
            ) from error


@dataclass(frozen=True, slots=True)
class Condensed:
    """A block without its long pauses.

    ``samples`` (shape [m]) are the pieces ``kept`` of the block (seconds of the block), one after the other;
    ``clips`` cut them into stretches of at most 30 s, in seconds of the condensed samples.
    """

    samples: Samples
    kept: tuple[TimeSpan, ...]
    clips: tuple[TimeSpan, ...]

    def original(self, second: float, *, ends: bool = False) -> float:
        """Return the block's time of a time in the condensed samples.

        At a joint it is the piece that begins there, or with ``ends`` the one that ends there.
        """
        passed = 0.0
        for piece in self.kept:
            offset = second - passed
            if offset < piece.duration - 1e-6 or (ends and offset <= piece.duration + 1e-6):
                return piece.start + max(offset, 0.0)
            passed += piece.duration
        return self.kept[-1].end


def condense(samples: Samples, regions: Sequence[TimeSpan]) -> Condensed:
    """Leave out what is far from speech, and find where to cut what remains into clips of at most 30 s."""
    length = len(samples) / SAMPLE_RATE
    kept: list[TimeSpan] = []
    for region in regions:
        start, end = max(0.0, region.start - _MARGIN), min(length, region.end + _MARGIN)
        if kept and start - kept[-1].end <= _LONGEST_PAUSE - 2 * _MARGIN:
            kept[-1] = TimeSpan(kept[-1].start, max(end, kept[-1].end))
        elif kept:
            half = _LONGEST_PAUSE / 2 - _MARGIN
            kept[-1] = TimeSpan(kept[-1].start, kept[-1].end + half)
            kept.append(TimeSpan(start - half, end))
        else:
            kept.append(TimeSpan(start, end))
    pieces = [samples[round(k.start * SAMPLE_RATE) : round(k.end * SAMPLE_RATE)] for k in kept]
    condensed = Condensed(np.concatenate(pieces), tuple(kept), ())
    pauses = _pauses(regions, kept)
    return Condensed(condensed.samples, condensed.kept, _clips(pauses, len(condensed.samples) / SAMPLE_RATE))


def _pauses(regions: Sequence[TimeSpan], kept: Iterable[TimeSpan]) -> list[TimeSpan]:
    """Return the pauses between regions in seconds of the condensed samples."""
    passed = 0.0
    inside: list[TimeSpan] = []
    for piece in kept:
        inside += [
            TimeSpan(passed + r.start - piece.start, passed + r.end - piece.start)
            for r in regions
            if piece.start <= r.start and r.end <= piece.end + 1e-6
        ]
        passed += piece.duration
    return [TimeSpan(a.end, b.start) for a, b in pairwise(inside) if b.start > a.end]


def _clips(pauses: Sequence[TimeSpan], length: float) -> tuple[TimeSpan, ...]:
    """Cut 0..length at the longest pause in the last two fifths of every 30 s; speech without pause is cut hard."""
    clips: list[TimeSpan] = []
    start = 0.0
    while length - start > WINDOW:
        reachable = [p for p in pauses if start + 0.6 * WINDOW < (p.start + p.end) / 2 < start + WINDOW]
        longest = max(reachable, key=lambda p: p.duration, default=None)
        cut = (longest.start + longest.end) / 2 if longest else start + WINDOW
        clips.append(TimeSpan(start, cut))
        start = cut
    clips.append(TimeSpan(start, length))
    return tuple(clips)


def _is_speech(segment: Any) -> bool:
    """Say whether a segment is likely to be words that were said, and not what Whisper makes of noise.

    The thresholds are those of Whisper's reference code (Radford et al. 2022, section 4.5), each applied by itself.
    """
    text = segment.text.strip().encode()
    looping = len(text) > 0 and len(text) / len(zlib.compress(text)) > 2.4
    return bool(segment.avg_logprob >= -1.0 and not looping and segment.words)


def _words(segments: Iterable[Any], condensed: Condensed) -> Iterable[HeardWord]:
    heard = [
        HeardWord(word.word.strip(), word.start, max(word.end, word.start), float(word.probability))
        for segment in segments
        if _is_speech(segment)
        for word in segment.words or ()
        if word.word.strip()
    ]
    for word in without_echoes(heard):
        start = condensed.original(word.start)
        yield replace(word, start=start, end=max(condensed.original(word.end, ends=True), start))
