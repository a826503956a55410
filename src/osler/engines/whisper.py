"""Speech to text with Whisper through faster-whisper (CTranslate2, int8 on the CPU), deterministic."""

import hashlib
import logging
import math
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from osler.engines.background import in_background
from osler.engines.clips import WINDOW, Condensed, condense
from osler.engines.echoes import without_echoes
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import EngineError, UnknownNameError
from osler.kernel.spans import TimeSpan
from osler.speech.model import HeardWord
from osler.speech.ports import SAMPLE_RATE, Recognition, Samples

_PROMPT: Final = "Okay. Um, so, let's see. {}, and so on. Uh, all right. Well, let's go on, shall we? All right."
"""What the decoder is told was said before each clip. Whisper goes on in the manner of its prompt: sentences with
punctuation (turns are found by it) and hesitations. It says nothing about anybody: what of it is heard again in a pause
and not recognised as an echo does no harm. A bare list of words is worse: Whisper reads the list into pauses."""

_LEAST_SPEECH: Final = 0.3
"""Seconds of speech that the rest of a clip must hold to be decoded once the decoder has stopped before its end."""

_LEAST_PROMPTED: Final = 5.0
"""Seconds that the decoder must be given for a prompt: in shorter pieces it goes on with the prompt instead."""

QUICK_SILENCE: Final = 5.0
"""Seconds of silence behind the sound that the quick transcriber encodes, instead of filling up to 30 s as Whisper was
trained: the encoder's work grows faster than the length, and a segment of 10 s costs a quarter."""

_FRAMES: Final = 100
"""Frames of the encoder's input a second."""

_NOT_SPARSE: Final = 10.0
_LEAST_WORDS: Final = 0.25
"""Words per second that at least ten seconds of speech must hold, else it was noise; people say two to three."""


class WhisperTranscriber:
    """A Whisper model in CTranslate2 form, read from a local folder.

    ``directory`` holds config.json, model.bin, tokenizer.json and vocabulary.*; ``label`` names the model (for
    instance ``faster-whisper/base``); ``digest`` is the SHA-256 of model.bin as the weights store knows it, recorded
    with every result. Decoding is beam search at temperature 0 (no sampling): the same samples give the same words.
    With ``background`` it computes in threads of low priority: whatever else this process computes goes ahead (on
    Linux; elsewhere both share the cores).
    """

    def __init__(
        self,
        directory: Path,
        *,
        label: str,
        digest: str = "",
        threads: int | None = None,
        beam_size: int = 5,
        background: bool = False,
    ) -> None:
        self._weights = _Weights(directory, threads or os.cpu_count() or 1, background)
        self._label = label
        self._digest = digest
        self._beam_size = beam_size
        self._silence: float | None = None

    def quick(self) -> "WhisperTranscriber":
        """Return a transcriber of the same model that takes the likeliest word at each place (beam size 1).

        It takes half the time of one with five beams, encodes a short sound by its length, and errs a little more: for
        words that are replaced soon. It loads the model for itself and is never in the background: it works while this
        one is at work.
        """
        other = copy(self)
        other._weights = self._weights.again()
        other._beam_size = 1
        other._silence = QUICK_SILENCE
        return other

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
                "prompt": "talk with vocabulary, English only",
                **({} if self._silence is None else {"seconds_of_silence": self._silence}),
            },
        )

    def transcribe(
        self,
        samples: Samples,
        regions: Sequence[TimeSpan],
        *,
        language: str | None,
        vocabulary: str,
        done: Callable[[float], None] = lambda seconds: None,
    ) -> Recognition:
        """Transcribe the ``regions`` of one block; see the port. Raises EngineError, UnknownNameError (language)."""
        if not regions:
            return Recognition((), language or "en")
        condensed = condense(samples, regions)
        try:
            if language is not None and language not in self._model.supported_languages:
                raise UnknownNameError(_no_such_language(self._model.supported_languages))
            language = language or self._detect_language(condensed.samples)
            prompt = _PROMPT.format(vocabulary) if vocabulary and language == "en" else None
            heard: list[HeardWord] = []
            for clip in condensed.clips:
                with self._weights.between(partial(done, condensed.original(clip.start))):
                    heard += self._clip(condensed, clip, language, prompt)
                done(condensed.original(clip.end, ends=True))
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"Speech recognition failed ({type(error).__name__}).") from error
        return Recognition(tuple(condensed.placed(word) for word in heard), language)

    def _clip(self, condensed: Condensed, clip: TimeSpan, language: str, prompt: str | None) -> list[HeardWord]:
        """Return the words of one clip, in seconds of the condensed samples."""
        regions = [r for r in condensed.regions if clip.start <= r.start < clip.end]
        heard: list[HeardWord] = []
        start = clip.start
        while start == clip.start or _speech_left(regions, start) >= _LEAST_SPEECH:
            rest = TimeSpan(start, clip.end)
            told = prompt if rest.duration >= _LEAST_PROMPTED else None
            words, end, sound = self._window(condensed, rest, regions, language, told)
            if told and not sound:
                words, end, _ = self._window(condensed, rest, regions, language, None)
            heard += words
            if end <= start + 0.1:
                break
            start = end
        said = without_echoes(heard)
        speech = _speech_left(regions, clip.start)
        return said if speech < _NOT_SPARSE or len(said) >= _LEAST_WORDS * speech else []

    def _window(
        self, condensed: Condensed, rest: TimeSpan, regions: Sequence[TimeSpan], language: str, prompt: str | None
    ) -> tuple[list[HeardWord], float, bool]:
        """Decode once from the start of ``rest``: the words, where the decoder stopped, and whether all was speech."""
        segments, _ = self._model.transcribe(
            condensed.samples[round(rest.start * SAMPLE_RATE) : round(rest.end * SAMPLE_RATE)],
            language=language,
            beam_size=self._beam_size,
            temperature=[0.0],
            condition_on_previous_text=False,
            hotwords=prompt,
            word_timestamps=True,
        )
        heard: list[HeardWord] = []
        end, sound = rest.end, True
        with self._weights.one_window(None if self._silence is None else rest.duration + self._silence):
            for segment in segments:
                end = rest.start + segment.end
                if _is_speech(segment):
                    heard += [
                        HeardWord(w.word.strip(), rest.start + w.start, rest.start + max(w.start, w.end), w.probability)
                        for w in segment.words
                        if w.word.strip()
                    ]
                else:
                    sound = False
                # Segments come as they are decoded: ending here spares the decoder the silence at the end of the clip,
                # which costs as much as speech and where it invents.
                if _speech_left(regions, end) < _LEAST_SPEECH:
                    break
        return heard, end, sound

    def _detect_language(self, samples: Samples) -> str:
        """Return the language (ISO 639-1) of the first 30 s."""
        if not self._model.model.is_multilingual:
            return "en"
        found, _, _ = self._model.detect_language(samples[: round(WINDOW * SAMPLE_RATE)])
        return str(found)

    @property
    def _model(self) -> Any:
        return self._weights.model


class _NextWindowError(Exception):
    """Ends what faster-whisper does, where it would go on in another window."""


class _Weights:
    """A model, loaded once. Its heavy calls are made one by one, so that whoever waits for a turn gets it between."""

    def __init__(self, directory: Path, threads: int, background: bool = False) -> None:
        self._directory = directory
        self._threads = threads
        self._background = background
        self._loading = threading.Lock()
        self._loaded: Any = None
        self._calls = threading.local()
        self._last: tuple[bytes, Any] | None = None

    def again(self) -> "_Weights":
        """Return the same, to be loaded once more, in the foreground."""
        return _Weights(self._directory, self._threads)

    @contextmanager
    def between(self, call: Callable[[], None]) -> Iterator[None]:
        """Have ``call`` called before each heavy piece of work of this thread, inside the block."""
        self._calls.before = call
        try:
            yield
        finally:
            self._calls.before = None

    @contextmanager
    def one_window(self, seconds: float | None = None) -> Iterator[None]:
        """Encode one window for this thread, its first ``seconds`` or all 30, and leave the block at a second.

        Where the decoder stops before the end, faster-whisper goes on by itself, in another one: nothing of that would
        be kept, as what is left is decoded from its own start.
        """
        self._calls.windows_left = 1
        self._calls.frames = None if seconds is None else 2 * math.ceil(seconds * _FRAMES / 2)
        try:
            yield
        except _NextWindowError:
            pass
        finally:
            self._calls.windows_left = self._calls.frames = None

    @property
    def model(self) -> Any:
        """The model. Raises EngineError."""
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> Any:
        from faster_whisper import WhisperModel

        logging.getLogger("faster_whisper").setLevel(logging.WARNING)
        make = partial(
            WhisperModel,
            str(self._directory),
            device="cpu",
            compute_type="int8",
            cpu_threads=self._threads,
            local_files_only=True,
        )
        try:
            model = in_background(make) if self._background else make()
        except (RuntimeError, ValueError, OSError) as error:
            raise EngineError(
                f"The speech model cannot be loaded ({type(error).__name__}); run: osler models verify"
            ) from error
        # Attributes of this one object hide the methods of its class.
        model.encode = partial(self._encode_once, model.encode)
        model.generate_with_fallback = partial(self._after_others, model.generate_with_fallback)
        model.find_alignment = partial(self._after_others, model.find_alignment)
        return model

    def _encode_once(self, encode: Callable[[Any], Any], features: Any) -> Any:
        """Encode a window, or return what it gave just now: with and without a prompt it is the same."""
        self._pause()
        left: int | None = getattr(self._calls, "windows_left", None)
        if left is not None:
            if not left:
                raise _NextWindowError
            self._calls.windows_left = left - 1
        features = np.ascontiguousarray(features[..., : getattr(self._calls, "frames", None)])
        key = hashlib.sha256(features.tobytes()).digest()
        last = self._last
        if last is not None and last[0] == key:
            return last[1]
        encoded = encode(features)
        self._last = (key, encoded)
        return encoded

    def _after_others(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self._pause()
        return method(*arguments, **options)

    def _pause(self) -> None:
        before = getattr(self._calls, "before", None)
        if before is not None:
            before()


def _no_such_language(known: Sequence[str]) -> str:
    if list(known) == ["en"]:
        return "This model hears English only; take a multilingual one such as --model base, or --language en."
    return f"The speech model knows no language of that code; it knows auto, {', '.join(sorted(known))}."


def _is_speech(segment: Any) -> bool:
    """Say whether a segment is likely to be words that were said, and not what Whisper makes of noise.

    The thresholds are those of Whisper's reference code (Radford et al. 2022, section 4.5), each applied by itself.
    """
    text = segment.text.strip().encode()
    looping = len(text) > 0 and len(text) / len(zlib.compress(text)) > 2.4
    return bool(segment.avg_logprob >= -1.0 and not looping and segment.words)


def _speech_left(regions: Sequence[TimeSpan], after: float) -> float:
    """Return how many seconds of the ``regions`` lie after a moment."""
    return sum(max(0.0, region.end - max(region.start, after)) for region in regions)
