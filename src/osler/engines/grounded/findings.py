"""The grounded finding extractor: clinical facts from statements and from questions with their answers.

Names come from the lexicon, their standing from ConText and from the answers; nothing is found that was not said.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from osler.engines.grounded.allergies import allergies
from osler.engines.grounded.attributes import Attributes, continue_symptom, duration_in, of_medicine, of_symptom
from osler.engines.grounded.context import FAMILY, HISTORICAL, HYPOTHETICAL, NEGATED, POSSIBLE
from osler.engines.grounded.examination import Examination
from osler.engines.grounded.meaning import is_presumed, meaning
from osler.engines.grounded.measurements import measurements
from osler.engines.grounded.plans import plans, result_clause, time_of
from osler.engines.grounded.questions import Answer, Exchange, about_family, denies, exchanges, past_answer
from osler.engines.grounded.reading import Mention, Reading, read
from osler.engines.grounded.settling import OFFERED, settle
from osler.engines.grounded.standing import (
    SideEffect,
    at_home,
    is_general,
    kept,
    offered,
    refused,
    side_effect,
    stopped,
)
from osler.kernel.engine_record import EngineRecord
from osler.notes.model import Evidence, Experiencer, Finding, FindingKind, Temporality
from osler.notes.tokens import numbers
from osler.speech.model import PATIENT, Transcript

VERSION: Final = "3"
"""Raised when the same transcript would give other findings."""

_ASKABLE: Final = frozenset(
    (
        FindingKind.SYMPTOM,
        FindingKind.PROBLEM,
        FindingKind.MEDICATION,
        FindingKind.SOCIAL,
        FindingKind.PROCEDURE,
        FindingKind.EXAM,
    )
)
_GIVEN: Final = frozenset(("when", "than", "besides", "after", "since", "before", "for", "with", "except"))
"""Words before what a question takes as given: "any surgeries other than the lumpectomy?"."""
_GENERAL: Final = frozenset(
    (FindingKind.SYMPTOM, FindingKind.PROBLEM, FindingKind.MEDICATION, FindingKind.PROCEDURE, FindingKind.SOCIAL)
)
"""What general talk says of nobody."""
_NEAR_DEGREES: Final = 6
"""Tokens after "fever" in which its temperature stands."""
_GOALS: Final = frozenset(("goal", "target", "below", "under", "above", "less", "greater", "if", "should", "than"))


class GroundedFindingExtractor:
    """Finds clinical facts by lexicon, ConText and question-answer pairs; implements ``FindingExtractor``."""

    @property
    def record(self) -> EngineRecord:
        """What finds the findings."""
        return EngineRecord("grounded-findings", VERSION)

    def extract(self, transcript: Transcript) -> list[Finding]:
        """Return the findings in the order in which they were said; the same input gives the same output."""
        readings = [read(index, turn) for index, turn in enumerate(transcript.turns)]
        return _Extraction(transcript, readings).run()


class _Extraction:
    """One visit's extraction: collects findings by place, and which mentions other findings have used up."""

    def __init__(self, transcript: Transcript, readings: Sequence[Reading]) -> None:
        self._transcript = transcript
        self._readings = readings
        self._found: list[tuple[int, int, Finding]] = []
        self._used: set[tuple[int, int]] = set()
        self._exam = Examination()
        self._effects: list[tuple[SideEffect, str, Evidence]] = []

    def run(self) -> list[Finding]:
        pairs = exchanges(self._readings)
        for place, finding, used in allergies(self._transcript, self._readings, pairs):
            self._used.update(used)
            self._found.append((*place, finding))
        replied = {exchange.question.index: exchange for exchange in pairs}
        for reading in self._readings:
            for number in range(len(reading.sentences)):
                reports = self._exam.follow(reading, number)
                exchange = replied.get(reading.index)
                for mention in reading.of_sentence(number):
                    sign = mention.meaning(FindingKind.EXAM) is not None
                    examining = reports or (sign and self._exam.under_way)
                    if (reading.index, mention.start) not in self._used:
                        self._add_mention(reading, mention, exchange, examining)
                for place, finding in plans(self._transcript, reading, number):
                    self._found.append((*place, finding))
            self._add_measurements(reading)
        for exchange in pairs:
            self._add_duration(exchange)
        self._add_side_effects()
        settle(self._transcript, self._readings, self._found)
        self._found.sort(key=lambda row: row[:2])
        return [finding for _, _, finding in self._found]

    def _add_mention(self, reading: Reading, mention: Mention, exchange: Exchange | None, examining: bool) -> None:
        if reading.asks[mention.sentence]:
            finding = self._asked(reading, mention, exchange)
        elif mention.sentence in reading.confirms and exchange and exchange.answer is Answer.NO:
            finding = self._answered(exchange, mention, denied=not mention.modified(NEGATED))
        else:
            finding = self._stated(reading, mention, examining)
        if finding and not self._said(reading, mention, finding):
            self._found.append((reading.index, mention.start, finding))

    def _said(self, reading: Reading, mention: Mention, finding: Finding) -> bool:
        """Say whether the same sentence has just said the same ("dizzy- dizziness")."""
        if not self._found or finding.kind is FindingKind.MEDICATION:
            return False
        turn, start, last = self._found[-1]
        same = (last.kind, last.concept, last.negated, last.experiencer) == (
            finding.kind,
            finding.concept,
            finding.negated,
            finding.experiencer,
        )
        return same and turn == reading.index and start >= reading.sentences[mention.sentence][0]

    def _asked(self, reading: Reading, mention: Mention, exchange: Exchange | None) -> Finding | None:
        if reading.turn.speaker == PATIENT:
            return None
        start, _ = reading.sentences[mention.sentence]
        before = reading.words[max(start, mention.start - 2) : mention.start]
        given = bool(_GIVEN.intersection(before))
        if is_presumed(reading, mention, start):
            finding = self._stated(reading, mention, examining=False)
            if finding and exchange and finding.kind is FindingKind.MEDICATION:
                attributes = Attributes(dict(finding.attributes))
                told = self._dose_told(reading, mention, exchange.reply, attributes)
                finding = replace(finding, evidence=(*finding.evidence, *told), attributes=attributes.values)
            return finding
        if exchange and mention in exchange.asked and mention.term.kind in _ASKABLE and not given:
            past = past_answer(exchange)
            if past and not mention.modified(NEGATED) and not _taken_up(exchange, mention):
                return self._once_had(exchange, mention, past)
            denied = denies(exchange, mention)
            if denied is not None and not _taken_up(exchange, mention):
                return self._answered(exchange, mention, denied)
        return None

    def _once_had(self, exchange: Exchange, mention: Mention, past: tuple[int, int]) -> Finding | None:
        """Return what "not anymore" or "I used to" makes of what was asked."""
        start, end = past
        finding = self._answered(replace(exchange, start=start, end=end), mention, denied=False)
        if finding is None:
            return None
        stop = {"action": "stop"} if finding.kind is FindingKind.MEDICATION else {}
        return replace(finding, temporality=Temporality.HISTORICAL, attributes={**finding.attributes, **stop})

    def _answered(self, exchange: Exchange, mention: Mention, denied: bool) -> Finding | None:
        question, reply = exchange.question, exchange.reply
        term = next((t for t in mention.terms if t.kind is not FindingKind.EXAM), mention.term)
        kind = FindingKind.SYMPTOM if term.kind is FindingKind.EXAM else term.kind
        attributes = of_medicine(question, mention) if kind is FindingKind.MEDICATION else of_symptom(question, mention)
        attributes.values.pop("action", None)
        temporality = Temporality.HISTORICAL if mention.modified(HISTORICAL) else Temporality.CURRENT
        told: list[Evidence] = []
        if kind is FindingKind.MEDICATION:
            if said := stopped(question, mention):
                # "Have you stopped the aspirin?" "No." says that it is still taken.
                attributes.spans.append(said)
                if not denied:
                    attributes.values["action"], temporality = "stop", Temporality.HISTORICAL
                denied = False
            elif not denied:
                told = self._dose_told(question, mention, reply, attributes)
        if kind is FindingKind.SYMPTOM and not denied:
            told += self._degrees(term.concept, reply, 0, _clause_end(reply, exchange.end + 8), attributes)
        if kind in OFFERED and denied and offered(question, mention.sentence):
            attributes.values["action"], temporality, denied = "declined", Temporality.HYPOTHETICAL, False
        family = mention.modified(FAMILY) or about_family(exchange)
        evidence = [
            self._cite(question, mention.start, mention.end),
            self._cite(reply, exchange.start, _clause_end(reply, exchange.end)),
            *(self._cite(question, start, end) for start, end in attributes.spans),
            *told,
        ]
        return Finding(
            kind=kind,
            text=question.text(mention.start, mention.end).lower(),
            concept=term.concept,
            evidence=_distinct(evidence),
            negated=denied,
            experiencer=Experiencer.FAMILY if family else Experiencer.PATIENT,
            temporality=temporality,
            attributes=attributes.values,
        )

    def _dose_told(self, question: Reading, mention: Mention, reply: Reading, attributes: Attributes) -> list[Evidence]:
        """Take the dose of the question's last medicine from the reply: "what dose?" "fifty milligrams"."""
        last = [m for m in question.mentions if m.term.kind is FindingKind.MEDICATION][-1]
        if "dose" in attributes.values or reply.by_clinician or last is not mention:
            return []
        for number, (start, _) in enumerate(reply.sentences[:3]):
            if any(m.term.kind is FindingKind.MEDICATION for m in reply.of_sentence(number)):
                return []
            later = of_medicine(reply, replace(mention, start=start, end=start, sentence=number))
            if "dose" in later.values:
                attributes.take_dose(later)
                return [self._cite(reply, s, e) for s, e in later.spans]
        return []

    def _stated(self, reading: Reading, mention: Mention, examining: bool) -> Finding | None:
        meant = meaning(reading, mention, examining)
        if meant is None:
            return None
        kind, concept = meant
        if kind is FindingKind.EXAM and mention.end - mention.start > 1:
            self._exam.begin()
        if kind in _GENERAL and not mention.modified(HYPOTHETICAL) and is_general(reading, mention.sentence):
            return None
        medicine = kind is FindingKind.MEDICATION
        attributes = of_medicine(reading, mention) if medicine else of_symptom(reading, mention)
        if medicine:
            self._complete_medicine(reading, mention, attributes)
        if mention.site:
            attributes.values.setdefault("site", mention.site)
        told: list[Evidence] = []
        if kind in (FindingKind.SYMPTOM, FindingKind.PROBLEM) and not reading.by_clinician:
            continue_symptom(reading, mention, attributes)
            told = self._degrees(concept, reading, mention.end, mention.end + _NEAR_DEGREES, attributes)
        if kind is FindingKind.ORDER and (when := time_of(reading, mention)):
            attributes.put("when", reading.text(*when).lower(), *when)
        if mention.modified(POSSIBLE):
            attributes.values["certainty"] = "possible"
        # "The mammogram was negative" denies what it looked for, not the mammogram.
        negated = mention.modified(NEGATED) and kind not in (FindingKind.RESULT, FindingKind.ORDER)
        spans = [(m.start, m.end) for m in mention.modifiers if negated and m.category == NEGATED] + attributes.spans
        if kind is FindingKind.RESULT and (clause := result_clause(reading, mention)):
            spans.append(clause)
        temporality = _temporality(mention)
        if medicine and (said := stopped(reading, mention)):
            negated, temporality = False, Temporality.HISTORICAL
            attributes.values["action"] = "stop"
            spans.append(said)
        elif kind in OFFERED and (said := refused(reading, mention)):
            negated, temporality = False, Temporality.HYPOTHETICAL
            attributes.values["action"] = "declined"
            spans.append(said)
        elif kind is FindingKind.SOCIAL and (said := stopped(reading, mention)):
            negated, temporality = False, Temporality.HISTORICAL
            spans.append(said)
        if medicine and negated and kept(reading, mention):
            negated = False
        effect = side_effect(self._readings, reading.index, mention) if kind is FindingKind.SYMPTOM else None
        if effect:
            spans.append((effect.start, effect.end))
            if effect.drug:
                attributes.values["cause"] = effect.drug.term.concept
            if effect.past and temporality is Temporality.CURRENT:
                temporality = Temporality.HISTORICAL
            mentioned = self._cite(reading, mention.start, mention.end)
            self._effects.append((effect, mentioned.quote.lower(), mentioned))
        if kind is FindingKind.SOCIAL:
            attributes.values.pop("certainty", None)
        if negated:
            attributes.values.pop("severity", None)
        return Finding(
            kind=kind,
            text=reading.text(mention.start, mention.end).lower(),
            concept=concept,
            evidence=_distinct(
                [self._cite(reading, mention.start, mention.end), *(self._cite(reading, s, e) for s, e in spans), *told]
            ),
            negated=negated,
            experiencer=Experiencer.FAMILY if mention.modified(FAMILY) else Experiencer.PATIENT,
            temporality=temporality,
            attributes=attributes.values,
        )

    def _degrees(self, concept: str, reading: Reading, start: int, end: int, attributes: Attributes) -> list[Evidence]:
        """Take the temperature that is told with a fever: "a fever?" "yes, 101.8 last night"."""
        if concept != "fever":
            return []
        for number in numbers(reading.tokens[start:end]):
            value = number.value
            if " " not in value and (95 <= float(value) <= 108 or 35 <= float(value) <= 43):
                attributes.values["value"] = value
                return [self._cite(reading, start + number.start, start + number.end)]
        return []

    def _complete_medicine(self, reading: Reading, mention: Mention, attributes: Attributes) -> None:
        """Only the clinician's words change a medicine; a dose may follow in the next sentence of the same turn."""
        if not reading.by_clinician or mention.modified(HYPOTHETICAL):
            attributes.values.pop("action", None)
        following = mention.sentence + 1
        if "dose" in attributes.values or following >= len(reading.sentences):
            return
        medicines = [m for m in reading.mentions if m.term.kind is FindingKind.MEDICATION]
        if any(
            m.sentence == following or (m.sentence == mention.sentence and m.start > mention.start) for m in medicines
        ):
            return
        start, end = reading.sentences[following]
        if end - start > 12:
            return
        later = of_medicine(reading, replace(mention, start=start, end=start, sentence=following))
        if "dose" in later.values:
            attributes.take_dose(later)
            attributes.spans += later.spans

    def _add_measurements(self, reading: Reading) -> None:
        for measured in measurements(reading):
            sentence = next(s for s in reading.sentences if s[0] <= measured.start < s[1])
            before = reading.words[max(sentence[0], measured.end - 9) : measured.end]
            hypothetical = bool(_GOALS.intersection(before))
            evidence = self._cite(reading, measured.start, measured.end)
            attributes = {"value": measured.value} | ({"unit": measured.unit} if measured.unit else {})
            before_this = self._readings[reading.index - 1] if reading.index else None
            if at_home(reading, measured.start, measured.end, before_this):
                attributes["where"] = "home"
            finding = Finding(
                kind=FindingKind.VITAL,
                text=evidence.quote.lower(),
                concept=measured.concept,
                evidence=(evidence,),
                temporality=Temporality.HYPOTHETICAL if hypothetical else Temporality.CURRENT,
                attributes=attributes,
            )
            self._found.append((reading.index, measured.start, finding))

    def _add_duration(self, exchange: Exchange) -> None:
        """Give the answer to "how long?" to the complaint that was spoken of last."""
        if exchange.question.turn.speaker == PATIENT or not _asks_how_long(exchange.question):
            return
        span = duration_in(exchange.reply, 0, len(exchange.reply.tokens), bare=True)
        if span is None:
            return
        for place in range(len(self._found) - 1, -1, -1):
            turn, start, finding = self._found[place]
            if turn > exchange.question.index or turn < exchange.question.index - 6:
                continue
            if finding.kind not in (FindingKind.SYMPTOM, FindingKind.PROBLEM) or finding.negated:
                continue
            if "duration" not in finding.attributes:
                evidence = (*finding.evidence, self._cite(exchange.reply, *span))
                attributes = {**finding.attributes, "duration": exchange.reply.text(*span).lower()}
                self._found[place] = (turn, start, replace(finding, evidence=evidence, attributes=attributes))
            return

    def _add_side_effects(self) -> None:
        """Give a medicine the symptom that was blamed on it."""
        for effect, name, evidence in self._effects:
            for place, (turn, start, finding) in enumerate(self._found):
                if effect.drug is None or (turn, start) != (effect.turn, effect.drug.start):
                    continue
                if finding.kind in (FindingKind.MEDICATION, FindingKind.ALLERGY):
                    attributes = {"reaction": name, **finding.attributes}
                    pieces = _distinct((*finding.evidence, evidence))
                    self._found[place] = (turn, start, replace(finding, evidence=pieces, attributes=attributes))

    def _cite(self, reading: Reading, start: int, end: int) -> Evidence:
        tokens = reading.tokens
        return Evidence.cite(self._transcript, reading.index, tokens[start].start, tokens[end - 1].end)


def _temporality(mention: Mention) -> Temporality:
    if mention.modified(HYPOTHETICAL):
        return Temporality.HYPOTHETICAL
    return Temporality.HISTORICAL if mention.modified(HISTORICAL) else Temporality.CURRENT


def _taken_up(exchange: Exchange, mention: Mention) -> bool:
    """Say whether the answer names what was asked itself: then its own words decide."""
    concepts = {term.concept for m in exchange.reply.mentions if not m.modified(FAMILY) for term in m.terms}
    return any(term.concept in concepts for term in mention.terms)


def _clause_end(reading: Reading, end: int) -> int:
    """Return the end of the clause that an answer starts: "not that I've noticed" up to its comma or stop."""
    while (
        end < len(reading.words) and end < len(reading.tokens) and reading.words[end] not in (",", ".", "?", "!", "...")
    ):
        end += 1
    return end


def _asks_how_long(reading: Reading) -> bool:
    return any(
        " ".join(reading.words[start:end]).find(phrase) >= 0
        for number, (start, end) in enumerate(reading.sentences)
        if reading.asks[number]
        for phrase in ("how long", "when did", "how many days", "how many weeks")
    )


def _distinct(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Drop evidence that lies within earlier evidence; the mention stays first."""
    kept: list[Evidence] = []
    for piece in evidence:
        if not any(e.turn == piece.turn and e.start <= piece.start and piece.end <= e.end for e in kept):
            kept.append(piece)
    return tuple(kept)
