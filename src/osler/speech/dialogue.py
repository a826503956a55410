"""Reads transcripts that came as text or JSON: who said what, words left exactly as they are, times absent."""

import functools
import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Final

from osler.kernel.errors import NotATranscriptError
from osler.speech.model import CLINICIAN, PATIENT, Speaker, Transcript, Turn, other
from osler.speech.rendering import LOOK
from osler.speech.roles import decide_roles, sentences_of
from osler.speech.turns import summarize_speakers

FORMS: Final = (
    "Osler reads JSON with turns, or lines that begin with the speaker: [doctor] and [patient], D: and P:, "
    "Doctor: and Patient:, or Speaker 1: and Speaker 2:."
)
_TIME: Final = re.compile(r"^\s*[\[(]?\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?[\])]?\s*-?\s*")
_BRACKETED: Final = re.compile(r"^\s*\[([A-Za-z][\w .'’-]{0,30})\]\s*:?\s*")
_COLON: Final = re.compile(r"^\s*(?:\*\*)?([A-Za-z][\w.'’-]*(?:[ _][\w.'’-]+){0,3}?)\s?(?:\*\*)?:(?:\*\*)?(?:\s+|$)")
_ROLE: Final = re.compile(r"clinician|patient|other [1-9]\d*")
_BINARY: Final = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@functools.cache
def _labels() -> Mapping[str, frozenset[str]]:
    table = tomllib.loads(resources.files("osler.speech").joinpath("data/speaker_labels.toml").read_text("utf-8"))
    return {kind: frozenset(labels) for kind, labels in table.items()}


def _plain(label: str) -> str:
    """Return a label in lower case, blanks for underscores, without a number at its end."""
    return re.sub(r"\s*\d+$", "", re.sub(r"[_\s-]+", " ", label.lower())).strip()


def _kind(label: str) -> str | None:
    """Return what a label says: ``clinician``, ``patient``, ``other``, ``nameless``, or None if it is no known one."""
    plain, numbered = _plain(label), re.search(r"\d+$", label)
    for kind in ("clinician", "patient", "other", "nameless"):
        if plain in _labels()[kind]:
            second = kind == "clinician" and numbered is not None and int(numbered[0]) > 1
            return "other" if second else kind
    first, _, name = plain.partition(" ")
    if name and first in _labels()["clinician_titles"]:
        return "clinician"
    return "nameless" if name and first in _labels()["person_titles"] else None


def parse_dialogue(text: str) -> Transcript:
    """Read a dialogue, one labelled turn a line; lines without a label go on with the turn before them.

    The text of each turn stays as it is, and the offsets of evidence refer to it. Roles come from the labels; where a
    label has no role ("Speaker 1"), the language model of roles decides. Raises NotATranscriptError for text in which
    no line begins with a speaker.
    """
    lines = [line.replace(f" {LOOK}", "") for line in text.replace("\ufeff", "").splitlines() if line[:3] != LOOK]
    names = _names(lines)
    turns: list[Turn] = []
    left_out = 0
    for body in lines:
        found = _label_of(body, names)
        if found:
            label, said = found
            turns.append(Turn(label, said))
        elif body.strip() and turns:
            turns[-1] = Turn(turns[-1].speaker, f"{turns[-1].text} {body.strip()}".strip())
        elif body.strip():
            left_out += 1
    turns = [turn for turn in turns if turn.text]
    labels = dict.fromkeys(turn.speaker for turn in turns)
    if not turns or (len(labels) == 1 and all(len(label) == 1 for label in labels)):  # one "P:" may open a plan
        raise NotATranscriptError(f"This text is not a transcript: no line says who speaks. {FORMS}")
    warnings = (f"{left_out} line(s) before the first speaker were left out.",) if left_out else ()
    return name_speakers(Transcript(turns=tuple(turns), warnings=warnings))


def _names(lines: Sequence[str]) -> frozenset[str]:
    """Return the labels that are no known ones but open two lines or more with a capital: the speakers' own names.

    Headings of a note ("Plan:") are no names, and a single name beside no other label is none either.
    """
    labels = [match[1] for line in lines if (match := _COLON.match(_TIME.sub("", line, count=1)))]
    counts = Counter(label for label in labels if _kind(label) is None)
    headings = _labels()["headings"]
    names = {
        n for n, count in counts.items() if count > 1 and len(n) > 1 and n[0].isupper() and _plain(n) not in headings
    }
    others = any(_kind(label) is not None for label in labels)
    return frozenset(names) if others or len(names) > 1 else frozenset()


def _label_of(line: str, names: frozenset[str] = frozenset()) -> tuple[str, str] | None:
    """Split a line into the speaker's label and what was said, or return None if it begins with no label."""
    line = _TIME.sub("", line, count=1)
    match = _BRACKETED.match(line) or _COLON.match(line)
    if match is None or (_kind(match[1]) is None and match[1] not in names):
        return None
    return match[1].strip(), line[match.end() :].strip()


def name_speakers(transcript: Transcript) -> Transcript:
    """Return the transcript with every speaker named by role: ``clinician``, ``patient``, ``other 1``, ...

    Labels that name a role keep it; speakers whose label says nothing get the roles that are left, by what they say.
    """
    labels = list(dict.fromkeys(turn.speaker for turn in transcript.turns))
    if all(_ROLE.fullmatch(label) for label in labels) and transcript.speakers:
        return transcript
    roles: dict[str, str] = {}
    confidences: dict[str, float] = {}
    unnamed: list[str] = []
    for label in labels:
        kind = _kind(label)
        if _ROLE.fullmatch(label) or kind in (CLINICIAN, PATIENT):
            roles[label] = label if _ROLE.fullmatch(label) else str(kind)
        elif kind != "other":
            unnamed.append(label)
    if unnamed:
        said = {label: _sentences(transcript.turns, label) for label in unnamed}
        open_roles = [role for role in (CLINICIAN, PATIENT) if role not in roles.values()]
        for label, (role, confidence) in decide_roles(said, open_roles).items():
            if role is not None:
                roles[label] = role
            confidences[role or label] = confidence
    number = 0
    for label in labels:
        while label not in roles:
            number += 1
            if other(number) not in roles.values():
                roles[label] = other(number)
                confidences[other(number)] = confidences.pop(label, 1.0)
    turns = tuple(replace(turn, speaker=roles[turn.speaker]) for turn in transcript.turns)
    speakers: tuple[Speaker, ...] = summarize_speakers(
        turns, {role: confidences.get(role, 1.0) for role in roles.values()}
    )
    return replace(transcript, turns=turns, speakers=speakers)


def _sentences(turns: Sequence[Turn], label: str) -> list[list[str]]:
    return [sentence for turn in turns if turn.speaker == label for sentence in sentences_of(turn.text)]


def read_transcript(data: bytes) -> Transcript:
    """Read a transcript file: JSON (see :meth:`Transcript.from_json`) or dialogue text (see :func:`parse_dialogue`).

    Text is UTF-8 or UTF-16 with or without a byte order mark, else Latin-1. Raises NotATranscriptError otherwise.
    """
    text = _decoded(data)
    if not text.strip():
        raise NotATranscriptError(f"This file is empty, so it is not a transcript. {FORMS}")
    opening = text.lstrip()[0]
    if opening == "{" or (opening == "[" and _label_of(text.lstrip().splitlines()[0]) is None):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            if opening == "{":
                raise NotATranscriptError(f"This file begins like JSON but is not valid JSON. {FORMS}") from None
        else:
            transcript = Transcript.from_json(parsed)
            if any("\ud800" <= character <= "\udfff" for turn in transcript.turns for character in turn.text):
                raise NotATranscriptError(
                    "This JSON holds broken characters (lone surrogates); export it again as UTF-8."
                )
            return name_speakers(transcript)
    return parse_dialogue(text)


def _decoded(data: bytes) -> str:
    """Return the text of a file. Raises NotATranscriptError when the bytes are not text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif data[1:2] == b"\x00" and data[3:4] in (b"\x00", b""):
        encodings = ["utf-16-le"]
    elif data[:1] == b"\x00" and data[2:3] in (b"\x00", b""):
        encodings = ["utf-16-be"]
    else:
        encodings = ["utf-8-sig", "latin-1"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _BINARY.search(text):
            return text
        break
    raise NotATranscriptError(f"This file is not text, so it is not a transcript. {FORMS}")
