"""Audio to transcript, measured: runs the speech service over recordings whose turns and times are known."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from osler.kernel.errors import InputError, OslerError
from osler.kernel.progress import Progress, silent
from osler.speech.model import Transcript
from osler_evals.speech_scores import (
    COLLAR_SECONDS,
    DiarizationErrors,
    RoleHits,
    Said,
    WordErrors,
    diarization_errors,
    role_hits,
    word_errors,
)
from osler_evals.tables import Column, table

AUDIO_SUFFIXES: Final = (".ogg", ".wav", ".mp3", ".flac", ".m4a")


_NOTHING: Final = (
    "Nothing in this folder can be measured: it needs recordings with a JSON of the same name beside each, "
    '{"turns": [{"speaker", "text", "start", "end"}]}.'
)


class Speech(Protocol):
    """What is measured: the speech service."""

    def transcribe(
        self, path: Path, *, language: str | None, speakers: int | None, progress: Progress
    ) -> Transcript: ...


@dataclass(frozen=True, slots=True)
class Reference:
    """A recording and what was said in it."""

    name: str
    audio: Path
    turns: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class SpeechScores:
    """Scores of one recording, or of several added up; ``seconds`` of audio, ``elapsed`` seconds of work."""

    heard: WordErrors
    written: WordErrors
    der: DiarizationErrors
    der_collar: DiarizationErrors
    roles: RoleHits
    recordings: int
    speaker_counts_right: int
    seconds: float
    elapsed: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for one second of audio."""
        return self.elapsed / self.seconds if self.seconds else 0.0

    def __add__(self, more: "SpeechScores") -> "SpeechScores":
        return SpeechScores(
            self.heard + more.heard,
            self.written + more.written,
            self.der + more.der,
            self.der_collar + more.der_collar,
            self.roles + more.roles,
            self.recordings + more.recordings,
            self.speaker_counts_right + more.speaker_counts_right,
            self.seconds + more.seconds,
            self.elapsed + more.elapsed,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; rates are shares, not percent."""
        return {
            "wer_heard": round(self.heard.rate, 4),
            "wer_written": round(self.written.rate, 4),
            "reference_words": self.heard.words,
            "substitutions": self.heard.substitutions,
            "deletions": self.heard.deletions,
            "insertions": self.heard.insertions,
            "der": round(self.der.rate, 4),
            "der_collar_0.25": round(self.der_collar.rate, 4),
            "reference_speech_seconds": round(self.der.total, 2),
            "missed_seconds": round(self.der.missed, 2),
            "false_alarm_seconds": round(self.der.false_alarm, 2),
            "confusion_seconds": round(self.der.confusion, 2),
            "role_accuracy": round(self.roles.accuracy, 4),
            "aligned_words": self.roles.aligned,
            "recordings": self.recordings,
            "speaker_counts_right": self.speaker_counts_right,
            "seconds": round(self.seconds, 1),
            "elapsed_seconds": round(self.elapsed, 1),
            "real_time_factor": round(self.real_time_factor, 3),
        }


@dataclass(frozen=True, slots=True)
class SpeechReport:
    """Scores by recording, their sum, and what could not be measured (name and reason)."""

    model: str
    load_average: float
    rows: Mapping[str, SpeechScores]
    problems: Mapping[str, str]

    @property
    def total(self) -> SpeechScores:
        """All recordings added up: words and seconds weigh, not recordings."""
        first, *rest = self.rows.values()
        for scores in rest:
            first = first + scores
        return first

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "model": self.model,
            "cpus": os.cpu_count(),
            "load_average_at_start": round(self.load_average, 2),
            "peak_rss_bytes": _peak_rss(),
            "total": self.total.to_json(),
            "recordings": {name: scores.to_json() for name, scores in self.rows.items()},
            "problems": dict(self.problems),
        }

    def to_text(self) -> str:
        """Return a table for reading."""
        columns: tuple[Column[SpeechScores], ...] = (
            Column("WER %", lambda s: f"{100 * s.heard.rate:.1f}"),
            Column("written %", lambda s: f"{100 * s.written.rate:.1f}"),
            Column("DER %", lambda s: f"{100 * s.der.rate:.1f}"),
            Column("±0.25 s", lambda s: f"{100 * s.der_collar.rate:.1f}"),
            Column("missed", lambda s: f"{100 * s.der.missed / s.der.total:.1f}" if s.der.total else "-"),
            Column("false", lambda s: f"{100 * s.der.false_alarm / s.der.total:.1f}" if s.der.total else "-"),
            Column("confused", lambda s: f"{100 * s.der.confusion / s.der.total:.1f}" if s.der.total else "-"),
            Column("roles %", lambda s: f"{100 * s.roles.accuracy:.1f}"),
            Column("count", lambda s: f"{s.speaker_counts_right}/{s.recordings}"),
            Column("× real time", lambda s: f"{s.real_time_factor:.2f}"),
        )
        rows = [*self.rows.items(), (f"all ({self.total.seconds:.0f} s)", self.total)]
        title = f"Speech, model {self.model}, {os.cpu_count()} cores, load average {self.load_average:.1f} at the start"
        left_out = "".join(f"{name}: left out, {reason}\n" for name, reason in self.problems.items())
        return table(title, "recording", columns, rows) + left_out


def evaluate_speech(
    load_speech: Callable[[], Speech],
    folder: Path,
    *,
    model: str,
    limit: int | None = None,
    progress: Progress = silent,
) -> SpeechReport:
    """Transcribe every recording in ``folder`` that has a NAME.json of its turns beside it, and score the transcripts.

    The service is loaded once there is something to measure, before the clock runs; weights that it loads with the
    first recording count there. Raises InputError when the folder is missing or nothing in it can be measured.
    """
    load = os.getloadavg()[0]
    references, problems = read_references(folder)
    chosen = references[:limit]
    if not chosen:
        raise InputError(_NOTHING)
    speech = load_speech()
    rows: dict[str, SpeechScores] = {}
    for number, reference in enumerate(chosen):
        progress("Measuring recordings", number, len(chosen))
        started = time.perf_counter()
        try:
            transcript = speech.transcribe(reference.audio, language="en", speakers=None, progress=silent)
        except InputError as error:
            problems[reference.name] = f"it could not be transcribed ({type(error).__name__})"
            continue
        rows[reference.name] = score(reference.turns, transcript, elapsed=time.perf_counter() - started)
    progress("Measuring recordings", len(chosen), len(chosen))
    if not rows:
        raise InputError(_NOTHING)
    return SpeechReport(model, load, rows, problems)


def read_references(folder: Path) -> tuple[list[Reference], dict[str, str]]:
    """Find the pairs NAME.ogg (wav, mp3, flac, m4a) and NAME.json in ``folder``, by name; and why others are not pairs.

    Raises InputError when ``folder`` is not a folder that can be read.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        raise InputError("The --data folder cannot be read; name a folder of recordings with their JSON.") from None
    references: list[Reference] = []
    problems: dict[str, str] = {}
    audio = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    for path in audio:
        try:
            references.append(Reference(path.stem, path, read_turns(path.with_suffix(".json"))))
        except OslerError as error:
            problems[path.name] = str(error)
    for path in files:
        if path.suffix == ".json" and path.stem not in {a.stem for a in audio}:
            problems[path.name] = "it has no recording beside it"
    return references, problems


def read_turns(path: Path) -> tuple[Said, ...]:
    """Read reference turns. Raises InputError that says what is wrong, without their text."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("it has no JSON of its turns beside it") from None
    except (OSError, ValueError):
        raise InputError("its JSON cannot be read") from None
    try:
        turns = tuple(
            Said(str(turn["speaker"]), str(turn["text"]), float(turn["start"]), float(turn["end"]))
            for turn in data["turns"]
        )
    except (KeyError, TypeError, ValueError):
        raise InputError("its JSON has turns without speaker, text, start and end") from None
    if not turns:
        raise InputError("its JSON has no turns")
    if any(not 0 <= turn.start < turn.end for turn in turns):
        raise InputError("its JSON has turns that end before they start")
    return turns


def score(reference: Sequence[Said], transcript: Transcript, *, elapsed: float) -> SpeechScores:
    """Score one transcript; ``elapsed`` is what it took, in seconds."""
    heard = [Said(t.speaker, t.heard, t.start or 0.0, t.end or 0.0) for t in transcript.turns]
    said = " ".join(turn.text for turn in reference)
    seconds = transcript.duration or max(turn.end for turn in reference)
    return SpeechScores(
        heard=word_errors(said, " ".join(turn.text for turn in heard)),
        written=word_errors(said, " ".join(turn.text for turn in transcript.turns)),
        der=diarization_errors(reference, heard, seconds=seconds),
        der_collar=diarization_errors(reference, heard, seconds=seconds, collar=COLLAR_SECONDS),
        roles=role_hits(reference, heard),
        recordings=1,
        speaker_counts_right=int(len({t.speaker for t in reference}) == len({t.speaker for t in heard})),
        seconds=seconds,
        elapsed=elapsed,
    )


def _peak_rss() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
