"""Questions and forms, measured on visits of ACI-BENCH and MTS-Dialog: what is right, what is silent, what is wrong.

    python -m osler_evals.ask_eval --data ../shared/data [--json] [-o evals/results/ask.json]

The questions and their key facts (``data/ask_questions.toml``, ``data/form_questions.toml``) were written from the
dialogues before the engines were; a third of them was held out until the end.
"""

import argparse
import csv
import json
import re
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from osler.engines.grounded.asking.assistant import GroundedAssistant
from osler.engines.grounded.forms.filler import GroundedFormFiller
from osler.notes.asking import AnswerKind, Question
from osler.notes.forms import FormAnswer, FormQuestion, given_answer, read_form
from osler.notes.model import Evidence
from osler.notes.writing import VisitSources
from osler.speech.dialogue import parse_dialogue
from osler.speech.model import Transcript

VISIT_DAY: Final = date(2024, 3, 14)
"""The day that the visits are taken to be on."""

RIGHT, SILENT, FALSE = "right", "silent", "false"


@dataclass(slots=True)
class Scores:
    """How many questions were answered rightly, not at all though the visit says it, or wrongly."""

    right: int = 0
    silent: int = 0
    false: int = 0
    misquoted: int = 0
    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def questions(self) -> int:
        """All of them."""
        return self.right + self.silent + self.false

    def add(self, outcome: str, name: str, seconds: float, misquoted: int) -> None:
        """Count one answer."""
        setattr(self, outcome, getattr(self, outcome) + 1)
        self.seconds.append(seconds)
        self.misquoted += misquoted
        if outcome != RIGHT:
            self.faults.append(f"{outcome}: {name}")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "questions": self.questions,
            "right": self.right,
            "silent": self.silent,
            "false": self.false,
            "misquoted": self.misquoted,
            "seconds_per_question": round(sum(self.seconds) / max(1, len(self.seconds)), 4),
            "longest_seconds": round(max(self.seconds, default=0.0), 3),
        }


def visits(data: Path) -> dict[str, Transcript]:
    """Read the training parts of aci-bench and mts-dialog below ``data``."""
    csv.field_size_limit(10**9)
    found: dict[str, str] = {}
    for path, name in ((data / "aci-bench" / "train.csv", "encounter_id"), (_mts(data), "ID")):
        with path.open(encoding="utf-8", newline="") as file:
            found.update({row[name]: row["dialogue"] for row in csv.DictReader(file)})
    return _Parsed(found)


def ask(data: Path) -> dict[str, Scores]:
    """Put the questions to the assistant; the scores of those that were tuned on, and of those held out."""
    assistant, known = GroundedAssistant(), visits(data)
    scores = {"tuned": Scores(), "held out": Scores()}
    for each in _questions("ask_questions.toml"):
        transcript = known[each["visit"]]
        started = time.perf_counter()
        parts = list(assistant.answer(Question(each["ask"], "", VisitSources(transcript), VISIT_DAY)))
        seconds = time.perf_counter() - started
        text = "".join(part.text for part in parts)
        evidence = [e for part in parts for e in part.evidence]
        said = any(part.kind in (AnswerKind.FOUND, AnswerKind.EDITED) for part in parts)
        outcome = judged(text, said, each["expects"], each.get("never", ()))
        name = f"{each['visit']} {each['ask']}"
        scores[_part(each)].add(outcome, name, seconds, _misquoted(evidence, transcript))
    return scores


def forms(data: Path) -> dict[str, Scores]:
    """Put the questions of forms, one form a visit."""
    filler, known = GroundedFormFiller(), visits(data)
    scores = {"tuned": Scores(), "held out": Scores()}
    rows = _questions("form_questions.toml")
    for visit in dict.fromkeys(row["visit"] for row in rows):
        asked = [row for row in rows if row["visit"] == visit]
        form = read_form({"questions": [_sent(row, number) for number, row in enumerate(asked)]})
        started = time.perf_counter()
        answers = filler.fill(VisitSources(known[visit]), form.questions, VISIT_DAY)
        seconds = (time.perf_counter() - started) / len(asked)
        for row, question, answer in zip(asked, form.questions, answers, strict=True):
            misquoted = _misquoted(answer.evidence if answer else (), known[visit])
            name = f"{visit} {row['question']}"
            scores[_part(row)].add(judged_form(row, question, answer), name, seconds, misquoted)
    return scores


def judged(text: str, said: bool, expects: Sequence[str], never: Sequence[str]) -> str:
    """Judge an answer: ``said`` is whether it claims to be one."""
    if any(re.search(wrong, text, re.IGNORECASE) for wrong in never) and said:
        return FALSE
    if not expects:
        return FALSE if said else RIGHT
    if not said:
        return SILENT
    return RIGHT if all(re.search(fact, text, re.IGNORECASE) for fact in expects) else FALSE


def judged_form(row: Mapping[str, Any], question: FormQuestion, answer: FormAnswer | None) -> str:
    """Judge the answer to a question of a form."""
    given = given_answer(question, answer)
    if "holds" in row:
        if given is None:
            return SILENT
        return RIGHT if all(re.search(fact, given, re.IGNORECASE) for fact in row["holds"]) else FALSE
    expected = row.get("answer")
    if given == expected or (isinstance(given, list) and isinstance(expected, list) and set(given) == set(expected)):
        return RIGHT
    if given is None or (isinstance(given, list) and isinstance(expected, list) and set(given) < set(expected)):
        return SILENT
    return FALSE


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print or write the figures."""
    parser = argparse.ArgumentParser(description="Measure questions and forms on reference visits.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--faults", action="store_true", help="name what was not right")
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args(arguments)
    found = {"ask": ask(chosen.data), "forms": forms(chosen.data)}
    report = {name: {part: score.to_json() for part, score in parts.items()} for name, parts in found.items()}
    if chosen.output:
        chosen.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if chosen.json:
        print(json.dumps(report, indent=2))
        return 0
    print(_table(report))
    if chosen.faults:
        for name, parts in found.items():
            for part, score in parts.items():
                print(*(f"{name}, {part}: {fault}" for fault in score.faults), sep="\n")
    return 0


def _table(report: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    names = ("questions", "right", "silent", "false", "misquoted", "seconds_per_question")
    rows = [
        {"": f"{name}, {part}", **{each: str(figures[each]) for each in names}}
        for name, parts in report.items()
        for part, figures in parts.items()
    ]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    return "\n".join(lines)


class _Parsed(dict[str, Transcript]):
    """Dialogues by their ids, parsed when they are asked for."""

    def __init__(self, dialogues: Mapping[str, str]) -> None:
        super().__init__()
        self._dialogues = dialogues

    def __missing__(self, name: str) -> Transcript:
        self[name] = parse_dialogue(self._dialogues[name])
        return self[name]


def _mts(data: Path) -> Path:
    return data / "mts-dialog" / "MTS-Dialog-TrainingSet.csv"


def _questions(name: str) -> list[dict[str, Any]]:
    text = files("osler_evals").joinpath("data", name).read_text("utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["question"]
    return rows


def _part(row: Mapping[str, Any]) -> str:
    return "held out" if row.get("held_out") else "tuned"


def _sent(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    sent = {"questionId": f"q{number}", "question": row["question"], "answerType": row["type"]}
    if "options" in row:
        sent["answerOptions"] = [{"value": option} for option in row["options"]]
    if "format" in row:
        sent["dateFormat"] = row["format"]
    return sent


def _misquoted(evidence: Sequence[Evidence], transcript: Transcript) -> int:
    return sum(transcript.turns[e.turn].text[e.start : e.end] != e.quote for e in evidence)


if __name__ == "__main__":
    sys.exit(main())
