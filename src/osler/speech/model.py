"""What speech recognition yields: words, turns, speakers, transcript. Plain types, no engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import NotATranscriptError

CLINICIAN: Final = "clinician"
PATIENT: Final = "patient"


def other(number: int) -> str:
    """Label of the ``number``-th further speaker (from 1): a relative, an interpreter, a nurse."""
    return f"other {number}"


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One word as the engine heard it; ``text`` keeps its punctuation and case, no surrounding blanks.

    ``start`` and ``end`` are seconds from the start of the recording, ``probability`` is 0..1.
    """

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Word:
    """One written word of a turn. ``text`` is normalised ("145/92"), ``heard`` what was said.

    ``offset`` is the code point in ``Turn.text`` at which ``text`` stands; ``start`` and ``end`` are seconds;
    ``probability`` is the lowest of the heard words that it was made from.
    """

    text: str
    heard: str
    start: float
    end: float
    probability: float
    offset: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in ``Turn.text`` (code points) that a person should check against the audio.

    ``kind`` is ``drug``, ``dose`` or ``number``; ``probability`` is the lowest word probability in it.
    """

    start: int
    end: int
    kind: str
    probability: float


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said without another taking over. Times are seconds, None where the source has none.

    ``words`` is empty for transcripts that came without word times.
    """

    speaker: str
    text: str
    start: float | None = None
    end: float | None = None
    words: tuple[Word, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def heard(self) -> str:
        """The words as heard, before numbers and units were written the clinical way."""
        return " ".join(word.heard for word in self.words) if self.words else self.text

    def seconds_of(self, start: int, end: int) -> tuple[float | None, float | None]:
        """Return when ``text[start:end]`` was said: by its words, else the whole turn's times, else (None, None)."""
        said = [w for w in self.words if w.offset < end and start < w.offset + len(w.text)]
        if said:
            return said[0].start, said[-1].end
        return self.start, self.end


@dataclass(frozen=True, slots=True)
class Speaker:
    """A person in the visit: role label, confidence of that role (0..1), seconds spoken."""

    label: str
    confidence: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """A visit in words. ``duration`` is the recording's length in seconds; ``warnings`` are lines for the user.

    ``incomplete`` says that the recording broke off: what follows the last turn could not be read.
    """

    turns: tuple[Turn, ...]
    speakers: tuple[Speaker, ...] = ()
    language: str = "en"
    duration: float | None = None
    engine: EngineRecord | None = None
    diarizer: EngineRecord | None = None
    warnings: tuple[str, ...] = ()
    incomplete: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the transcript in plain JSON types; :meth:`from_json` reads it back without loss."""
        return {
            "turns": [_turn_to_json(turn) for turn in self.turns],
            "speakers": [
                {"label": s.label, "confidence": round(s.confidence, 3), "seconds": round(s.seconds, 2)}
                for s in self.speakers
            ],
            "language": self.language,
            "duration": self.duration,
            "engine": self.engine.to_json() if self.engine else None,
            "diarizer": self.diarizer.to_json() if self.diarizer else None,
            "warnings": list(self.warnings),
            "incomplete": self.incomplete,
        }

    @classmethod
    def from_json(cls, data: object) -> "Transcript":
        """Read a transcript: ours, or any ``{"turns": [{"speaker", "text", "start"?, "end"?}]}``.

        Raises NotATranscriptError that names the turn and field at fault, never their content.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("turns"), list):
            raise NotATranscriptError('This JSON is not a transcript: it needs {"turns": [{"speaker", "text"}]}.')
        try:
            return cls(
                turns=tuple(_turn_from_json(i, turn) for i, turn in enumerate(data["turns"])),
                speakers=tuple(
                    Speaker(str(s["label"]), float(s["confidence"]), float(s["seconds"]))
                    for s in data.get("speakers") or ()
                ),
                language=str(data.get("language") or "en"),
                duration=_seconds(data.get("duration")),
                engine=EngineRecord.from_json(data["engine"]) if data.get("engine") else None,
                diarizer=EngineRecord.from_json(data["diarizer"]) if data.get("diarizer") else None,
                warnings=tuple(str(w) for w in _list(data.get("warnings"))),
                incomplete=data.get("incomplete") is True,
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise NotATranscriptError(
                f"This JSON is not a transcript that Osler can read ({type(error).__name__} in its fields); "
                'the least it needs is {"turns": [{"speaker", "text"}]}.'
            ) from None


@dataclass(frozen=True, slots=True)
class TranscriptVersion:
    """A stored transcript of a recording. ``version`` counts from 1 per encounter; the highest is the one in use,
    unless it is of a backup and there is one that is not.

    ``author_id`` is the user who corrected it, None for the engine. The transcript is sealed at rest.
    """

    id: str
    organization_id: str
    encounter_id: str
    recording_id: str
    version: int
    created_at: datetime
    transcript: Transcript
    author_id: str | None = None


@dataclass(frozen=True, slots=True)
class SegmentTranscript:
    """What was heard in one segment of a recording while it still goes on; replaced by the final transcript."""

    segment_id: str
    organization_id: str
    encounter_id: str
    recording_id: str
    index: int
    created_at: datetime
    transcript: Transcript


def _turn_to_json(turn: Turn) -> dict[str, Any]:
    return {
        "speaker": turn.speaker,
        "text": turn.text,
        "start": turn.start,
        "end": turn.end,
        "heard": turn.heard,
        "words": [
            {
                "text": w.text,
                "heard": w.heard,
                "start": round(w.start, 2),
                "end": round(w.end, 2),
                "probability": round(w.probability, 3),
                "offset": w.offset,
            }
            for w in turn.words
        ],
        "marks": [
            {"start": m.start, "end": m.end, "kind": m.kind, "probability": round(m.probability, 3)} for m in turn.marks
        ],
    }


def _turn_from_json(index: int, data: object) -> Turn:
    if not isinstance(data, Mapping):
        raise NotATranscriptError(f"Turn {index} of the transcript is not an object.")
    for field in ("speaker", "text"):
        if not isinstance(data.get(field), str):
            raise NotATranscriptError(f'Turn {index} of the transcript has no text in its field "{field}".')
    text: str = data["text"]
    words = tuple(
        Word(
            text=str(w["text"]),
            heard=str(w.get("heard", w["text"])),
            start=_required_seconds(w["start"]),
            end=_required_seconds(w["end"]),
            probability=float(w.get("probability", 1.0)),
            offset=int(w["offset"]),
        )
        for w in _list(data.get("words"))
        if "offset" in w
    )
    if any(text[w.offset : w.offset + len(w.text)] != w.text for w in words):
        raise NotATranscriptError(f"Turn {index} of the transcript has words whose offsets do not fit its text.")
    start, end = _seconds(data.get("start")), _seconds(data.get("end"))
    if any(b is not None and a is not None and b < a for a, b in ((start, end), *((w.start, w.end) for w in words))):
        raise NotATranscriptError(f"Turn {index} of the transcript has times that end before they start.")
    return Turn(
        speaker=data["speaker"],
        text=text,
        start=start,
        end=end,
        words=words,
        marks=tuple(
            Mark(int(m["start"]), int(m["end"]), str(m["kind"]), float(m["probability"]))
            for m in _list(data.get("marks"))
        ),
    )


def _list(value: object) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError("not seconds")
    return float(value)


def _required_seconds(value: object) -> float:
    seconds = _seconds(value)
    if seconds is None:
        raise TypeError("no seconds")
    return seconds
