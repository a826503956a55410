"""From what was heard to the scribe API's transcripts, final and live: each made once, then shown to both readers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from osler.api.scribe.presenters import moment
from osler.audio.assembly import segment_ends
from osler.audio.model import AudioRecording, RecordingKind, RecordingState, SegmentStatus
from osler.encounters.model import Encounter
from osler.speech.model import TranscriptVersion, Turn
from osler.speech.records import HeardRecording
from osler.speech.rendering import served_lines, speaker_name

Json = dict[str, Any]

GOING: Final = (RecordingState.OPEN, RecordingState.FINISHED)
"""States of recordings whose final transcript is still to come."""

SOURCE: Final[Mapping[RecordingKind, str]] = {kind: kind.name for kind in RecordingKind}
YAML_STATUS: Final[Mapping[SegmentStatus, str]] = {status: status.name for status in SegmentStatus}
PROSE_STATUS: Final[Mapping[SegmentStatus, str]] = {
    SegmentStatus.PENDING: "IN_PROGRESS",
    SegmentStatus.READY: "COMPLETE",
    SegmentStatus.FAILED: "FAILED",
}


def final_transcript(version: TranscriptVersion, encounter: Encounter) -> Json:
    """Return the finished text, one line a turn. What stands behind the three keys of the contract is ours."""
    transcript = version.transcript
    return {
        "transcript": "\n".join(served_lines(transcript.turns)),
        "session_id": version.encounter_id,
        "language_code": encounter.language_code or transcript.language,
        "version": version.version,
        "corrected": version.author_id is not None,
        "turns": [
            {
                "index": index,
                "speaker": speaker_name(turn.speaker),
                "text": turn.text,
                "start": turn.start,
                "end": turn.end,
            }
            for index, turn in enumerate(transcript.turns)
        ],
        "incomplete": transcript.incomplete,
        "warnings": list(transcript.warnings),
    }


def live_transcript(
    encounter_id: str, found: Sequence[HeardRecording], in_use: TranscriptVersion | None, status: str | None
) -> Json:
    """Return what was heard so far for both readers.

    ``status`` ``in_progress`` shows recordings whose final transcript is still to come, ``complete`` the others, None
    all. The text is that of the transcript in use, or of a newer recording that is going on.
    """
    shown = [each for each in found if status is None or (each.recording.state in GOING) == (status == "in_progress")]
    active = _active(shown, in_use)
    final = in_use is not None and active is not None and active.recording.id == in_use.recording_id
    if final:
        assert in_use is not None
        text = "\n".join(served_lines(in_use.transcript.turns))
    else:
        text = "" if active is None else "\n".join(part for part in _texts(active) if part)
    recordings: dict[RecordingKind, list[Json]] = {kind: [] for kind in RecordingKind}
    chunks: list[Json] = []
    for each in shown:
        told = []
        for segment, part in zip(each.segments, _texts(each), strict=True):
            seconds = round(segment.seconds or 0.0, 3)
            told.append(
                {"id": segment.id, "status": PROSE_STATUS[segment.status], "transcript": part, "duration": seconds}
            )
            chunks.append(
                {
                    "id": segment.id,
                    "status": YAML_STATUS[segment.status],
                    "duration": seconds,
                    "text": part,
                    "source": SOURCE[each.recording.kind],
                }
            )
        recording = each.recording
        recordings[recording.kind].append(
            {"id": recording.id, "chunks": told, "created_at": moment(recording.created_at)}
        )
    kind = RecordingKind.LIVE if active is None else active.recording.kind
    return {
        "response": {
            "user_uploaded": recordings[RecordingKind.USER_UPLOADED],
            "live": recordings[RecordingKind.LIVE],
            "backup": recordings[RecordingKind.BACKUP],
            "transcript_in_use": None if active is None else kind.value,
            "transcript": text,
        },
        "session_id": encounter_id,
        "transcript": text,
        "active_source": SOURCE[kind],
        "chunks": chunks,
    }


def _active(shown: Sequence[HeardRecording], in_use: TranscriptVersion | None) -> HeardRecording | None:
    """Return the recording whose text is shown: of a backup only where there is no other."""
    others = [each for each in shown if each.recording.kind is not RecordingKind.BACKUP]
    used = next((each for each in shown if in_use is not None and each.recording.id == in_use.recording_id), None)
    going = [each for each in others if each.recording.state in GOING]
    if going and (used is None or _precedes(used.recording, going[-1].recording)):
        return going[-1]
    if used is not None:
        return used
    return next(reversed(others or shown), None)


def _precedes(used: AudioRecording, other: AudioRecording) -> bool:
    return used.kind is RecordingKind.BACKUP or used.index < other.index


def _texts(heard: HeardRecording) -> list[str]:
    """Return the text of each segment: its share of the final transcript, before that what was heard in it alone."""
    if heard.version is None or heard.recording.state in GOING:
        return [
            "\n".join(served_lines(heard.heard[segment.id].transcript.turns)) if segment.id in heard.heard else ""
            for segment in heard.segments
        ]
    shares: list[list[Turn]] = [[] for _ in heard.segments]
    ends = segment_ends(heard.segments)
    for turn in heard.version.transcript.turns if shares else ():
        at = turn.start or 0.0
        shares[next((i for i, end in enumerate(ends) if at < end), len(ends) - 1)].append(turn)
    return ["\n".join(served_lines(share)) for share in shares]
