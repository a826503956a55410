"""Audits notes fact by fact, as a clinician checks a scribe: what must stand in a note, what never may, how it reads.

Run it: ``python -m osler_evals.checklist [--part dev|held-out] [--visits NAME...] [--voice-style S] [--json FILE]
[-v]``.
The visits are Osler's own (``data/checklists/visits``). Whoever writes the note writer may read the dev visits only.
"""

import argparse
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from osler.kernel.errors import InputError, NoClinicalContentError, UnknownNameError
from osler.notes.model import Note, Section, Sentence, VoiceStyle
from osler.speech.model import Transcript, Turn
from osler_evals.tables import Column, table

WriteNote = Callable[[Transcript], Note]

CATEGORIES: Final = (
    *("symptom", "denied", "problem", "medication", "medication_change", "allergy", "vital", "exam", "result"),
    *("order", "plan", "follow_up", "family", "social"),
)
PARTS: Final = ("dev", "held-out")
AFFIRMED, DENIED, HYPOTHETICAL = "affirmed", "denied", "hypothetical"
_BY_CATEGORY: Final = {"denied": DENIED, "symptom": AFFIRMED, "problem": AFFIRMED, "family": AFFIRMED}
"""The status that a fact of a category must have where its checklist does not say."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What one sentence of a note says: one of ``any``, and ``also_near`` in the same sentence, and not ``unless``.

    ``section`` is searched in the heading. ``status`` (affirmed, denied, hypothetical) is how the match must stand in
    its sentence by :func:`status_at`; None takes any.
    """

    name: str
    any: tuple[re.Pattern[str], ...]
    also_near: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    section: re.Pattern[str] | None = None
    status: str | None = None

    def found_in(self, heading: str, sentence: str) -> bool:
        """Say whether a sentence under that heading says it."""
        text = " ".join(sentence.replace("’", "'").split())
        if self.section and not self.section.search(heading):
            return False
        if (self.also_near and not self.also_near.search(text)) or (self.unless and self.unless.search(text)):
            return False
        matches = (match for pattern in self.any for match in pattern.finditer(text))
        return any(self.status is None or status_at(text, *match.span()) == self.status for match in matches)


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that must stand in the note; ``critical`` ones could harm the patient when they are missing."""

    pattern: Pattern
    category: str
    critical: bool

    @property
    def name(self) -> str:
        """The fact in a few words."""
        return self.pattern.name


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit with its checklist. ``part`` is dev or held-out; ``kind`` is acute or chronic."""

    name: str
    part: str
    kind: str
    transcript: Transcript
    must: tuple[Fact, ...]
    never: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """What the check of one note found. ``violations`` and ``lint`` pair a name with the sentence at fault."""

    visit: str
    words: int
    present: tuple[Fact, ...]
    missing: tuple[Fact, ...]
    violations: tuple[tuple[str, str], ...]
    lint: tuple[tuple[str, str], ...]
    written: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; sentences are quoted, since the visits are nobody's."""
        return {
            "words": self.words,
            "written": self.written,
            "critical": _of([f.critical for f in self.present], [f.critical for f in self.missing]),
            "useful": _of([not f.critical for f in self.present], [not f.critical for f in self.missing]),
            "missing": [{"fact": f.name, "category": f.category, "critical": f.critical} for f in self.missing],
            "violations": [{"never": name, "sentence": sentence} for name, sentence in self.violations],
            "lint": [{"fault": name, "sentence": sentence} for name, sentence in self.lint],
        }


@dataclass(slots=True)
class _Tally:
    """Facts found and asked for, critical and useful."""

    critical: list[bool] = field(default_factory=list)
    useful: list[bool] = field(default_factory=list)


@cache
def _reading() -> dict[str, Any]:
    return tomllib.loads(_folder().joinpath("reading.toml").read_text(encoding="utf-8"))


def _folder() -> Any:
    return files("osler_evals").joinpath("data", "checklists")


@cache
def _cue(name: str) -> re.Pattern[str]:
    return _compiled(_reading()[name])


@cache
def _lint_rule(name: str) -> re.Pattern[str]:
    return _compiled(_reading()["lint"][name])


def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.IGNORECASE)


def status_at(sentence: str, start: int, end: int) -> str:
    """Return whether ``sentence[start:end]`` (code points) is affirmed, denied or hypothetical, by the cues before it.

    A denial reaches to the end of its sentence or to a word that breaks it ("denies fever but reports a cough").
    """
    before = sentence[:start]
    if _cue("hypothesis").search(before):
        return HYPOTHETICAL
    breaks = [match.end() for match in _cue("denial_break").finditer(before)]
    if _cue("denial").search(before, breaks[-1] if breaks else 0) or _cue("denial_after").search(sentence[end:]):
        return DENIED
    return AFFIRMED


def read_pattern(data: Mapping[str, Any], status: str | None = None) -> Pattern:
    """Read a pattern from a row of a checklist; ``status`` is what it has where the row names none."""

    def compiled(key: str) -> re.Pattern[str] | None:
        return _compiled(data[key]) if key in data else None

    wanted = data.get("status", status)
    return Pattern(
        name=data["name"],
        any=tuple(_compiled(expression) for expression in data["any"]),
        also_near=compiled("also_near"),
        unless=compiled("unless"),
        section=compiled("section"),
        status=None if wanted == "any" else wanted,
    )


def read_fact(data: Mapping[str, Any]) -> Fact:
    """Read a ``must`` row. Raises ValueError on a category or importance that the checklist does not know."""
    if data["category"] not in CATEGORIES or data["importance"] not in ("critical", "useful"):
        raise ValueError(f"no such category or importance: {data['category']}, {data['importance']}")
    return Fact(
        read_pattern(data, _BY_CATEGORY.get(data["category"])), data["category"], data["importance"] == "critical"
    )


@cache
def read_visits() -> tuple[Visit, ...]:
    """Return the visits by name. Raises ValueError on a checklist that breaks the form."""
    found = sorted((f.name, f) for f in _folder().joinpath("visits").iterdir() if f.name.endswith(".toml"))
    every_visit = tuple(read_pattern(row) for row in _reading()["never"])
    visits = []
    for file_name, file in found:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        if data["part"] not in PARTS:
            raise ValueError(f"no such part: {data['part']}")
        turns = tuple(Turn(speaker, text) for speaker, text in data["turns"])
        never = tuple(read_pattern(row) for row in data["never"])
        must = tuple(read_fact(row) for row in data["must"])
        name = file_name.removesuffix(".toml")
        visits.append(Visit(name, data["part"], data["kind"], Transcript(turns), must, never + every_visit))
    return tuple(visits)


def audit(visit: Visit, note: Note | None) -> Audit:
    """Check a note against the visit's checklist; None is a note that was not written: every fact is missing."""
    if note is None:
        return Audit(visit.name, 0, (), visit.must, (), (), written=False)
    lines = [(section.heading, sentence.text) for section in note.sections for sentence in section.sentences]
    hit = [any(fact.pattern.found_in(*line) for line in lines) for fact in visit.must]
    return Audit(
        visit=visit.name,
        words=sum(len(text.split()) for _, text in lines),
        present=tuple(fact for fact, found in zip(visit.must, hit, strict=True) if found),
        missing=tuple(fact for fact, found in zip(visit.must, hit, strict=True) if not found),
        violations=tuple((n.name, text) for n in visit.never for heading, text in lines if n.found_in(heading, text)),
        lint=tuple(fault for section in note.sections for fault in lint_section(section)),
    )


def lint_section(section: Section) -> list[tuple[str, str]]:
    """Return (fault, sentence) for each fault of readable English in a section."""
    faults = []
    before: Sentence | None = None
    for sentence in section.sentences:
        faults += [(name, sentence.text) for name in lint(section.heading, sentence.text, sentence.is_problem)]
        if _lint_rule("pronoun_start").search(sentence.text) and not _leads_to(before, sentence):
            faults.append(("dangling pronoun", sentence.text))
        before = sentence
    return faults


def lint(heading: str, text: str, is_problem: bool = False) -> list[str]:
    """Return the faults of readable English in one sentence under ``heading``, without regard to its neighbours.

    Lists (medications, allergies, histories) and the chief complaint may be short; problem names need no period.
    """
    rules = ("conjunction_start", "speech_leftover", "doubled_word", "patient_my")
    faults = [name.replace("_", " ") for name in rules if _lint_rule(name).search(text)]
    if not re.search("plan|instructions", heading, re.IGNORECASE) and _lint_rule("second_person").search(text):
        faults.append("second person")
    if is_problem:
        return faults
    listed = re.search("chief complaint|medication|allerg|history(?! of present)|vitals", heading, re.IGNORECASE)
    if len(text.split()) < 3 and not listed:
        faults.append("shorter than three words")
    if not re.search(r"[.!?:][\"')]?$", text.rstrip()):
        faults.append("no final period")
    return faults


def _leads_to(before: Sentence | None, sentence: Sentence) -> bool:
    """Say whether ``before`` was said so close (two turns) that a pronoun of ``sentence`` may point to it."""
    if before is None:
        return False
    return any(abs(a.turn - b.turn) <= 2 for a in before.evidence for b in sentence.evidence)


def evaluate(visits: Iterable[Visit], write: WriteNote) -> list[Audit]:
    """Write and audit the note of each visit."""
    audits = []
    for visit in visits:
        try:
            note: Note | None = write(visit.transcript)
        except NoClinicalContentError:
            note = None
        audits.append(audit(visit, note))
    return audits


def _of(present: Iterable[bool], missing: Iterable[bool]) -> dict[str, int]:
    found = sum(present)
    return {"found": found, "of": found + sum(missing)}


def _tallies(audits: Iterable[Audit]) -> dict[str, _Tally]:
    tallies = {category: _Tally() for category in CATEGORIES}
    for one in audits:
        for facts, found in ((one.present, True), (one.missing, False)):
            for fact in facts:
                tally = tallies[fact.category]
                (tally.critical if fact.critical else tally.useful).append(found)
    return {category: tally for category, tally in tallies.items() if tally.critical or tally.useful}


def _sum(tallies: Iterable[_Tally]) -> _Tally:
    total = _Tally()
    for tally in tallies:
        total.critical += tally.critical
        total.useful += tally.useful
    return total


def _share(found: Sequence[bool]) -> str:
    return f"{sum(found)}/{len(found)} {100 * sum(found) / len(found):4.0f}%" if found else "-"


def to_text(audits: Sequence[Audit], title: str, *, verbose: bool = False) -> str:
    """Return the tables by category and by visit; ``verbose`` names what is missing and quotes what is wrong."""
    tallies = _tallies(audits)
    columns: tuple[Column[_Tally], ...] = (
        Column("critical", lambda t: _share(t.critical)),
        Column("useful", lambda t: _share(t.useful)),
        Column("all", lambda t: _share(t.critical + t.useful)),
    )
    text = table(f"{title}: facts found", "category", columns, [*tallies.items(), ("all", _sum(tallies.values()))])
    by_visit: tuple[Column[Audit], ...] = (
        Column("critical", lambda a: _share(_sum(_tallies([a]).values()).critical)),
        Column("useful", lambda a: _share(_sum(_tallies([a]).values()).useful)),
        Column("never", lambda a: str(len(a.violations))),
        Column("lint", lambda a: str(len(a.lint))),
        Column("words", lambda a: str(a.words)),
    )
    text += table("By visit", "visit", by_visit, [(one.visit, one) for one in audits])
    faults = Counter(name for one in audits for name, _ in one.lint)
    text += f"never: {sum(len(a.violations) for a in audits)}; "
    text += f"words per note: {sum(a.words for a in audits) / len(audits):.0f}; lint: "
    text += (", ".join(f"{name} {count}" for name, count in faults.most_common()) or "none") + "\n"
    for one in audits if verbose else ():
        text += f"\n{one.visit}\n"
        text += "".join(f"  {'MISSING' if f.critical else 'missing'} {f.category}: {f.name}\n" for f in one.missing)
        text += "".join(f"  NEVER {name}: {sentence}\n" for name, sentence in one.violations)
        text += "".join(f"  lint {name}: {sentence}\n" for name, sentence in one.lint)
    return text


def to_json(audits: Sequence[Audit], part: str, voice_style: str) -> dict[str, Any]:
    """Return the scores in plain JSON types: by category, by visit, and together."""

    def share(tally: _Tally) -> dict[str, Any]:
        return {
            "critical": {"found": sum(tally.critical), "of": len(tally.critical)},
            "useful": {"found": sum(tally.useful), "of": len(tally.useful)},
        }

    tallies = _tallies(audits)
    return {
        "part": part,
        "voice_style": voice_style,
        "all": share(_sum(tallies.values())),
        "violations": sum(len(a.violations) for a in audits),
        "lint": dict(Counter(name for a in audits for name, _ in a.lint).most_common()),
        "words_per_note": round(sum(a.words for a in audits) / len(audits), 1),
        "categories": {category: share(tally) for category, tally in tallies.items()},
        "visits": {a.visit: a.to_json() for a in audits},
    }


def _chosen(names: Sequence[str], part: str | None) -> list[Visit]:
    known = {visit.name: visit for visit in read_visits()}
    if unknown := sorted(set(names) - known.keys()):
        raise UnknownNameError(f"No such visit: {', '.join(unknown)}; choose from: {', '.join(known)}.")
    chosen = [v for v in known.values() if (not names or v.name in names) and part in (None, v.part)]
    if not chosen:
        raise InputError("No visit has that name and that --part; leave one of them out.")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Write and audit the chosen visits' notes; print the tables."""
    parser = argparse.ArgumentParser(prog="python -m osler_evals.checklist", description="Audit notes fact by fact.")
    parser.add_argument("--voice-style", choices=[s.value for s in VoiceStyle], default=VoiceStyle.GOLDILOCKS.value)
    parser.add_argument("--visits", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores there, too")
    parser.add_argument("-v", "--verbose", action="store_true", help="name what is missing, quote what is wrong")
    options = parser.parse_args(arguments)
    try:
        visits = _chosen(options.visits, options.part)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    from osler.bootstrap import note_service

    service, style = note_service(), VoiceStyle(options.voice_style)
    audits = evaluate(visits, lambda transcript: service.write(transcript, voice_style=style))
    part = options.part or "all"
    print(to_text(audits, f"{len(visits)} visits ({part}), {style.value}", verbose=options.verbose), end="")
    if options.json:
        options.json.write_text(json.dumps(to_json(audits, part, style.value), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
