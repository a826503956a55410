"""The grounded form filler: each question answered from the words of the visit, or not at all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from osler.engines.grounded.asking.passages import Passage, Sources, read_sources
from osler.engines.grounded.asking.sightings import Sighting, intent, sightings
from osler.engines.grounded.asking.topics import Topic, topic_of
from osler.engines.grounded.forms.dates import SaidDate, dates_in
from osler.engines.grounded.forms.options import (
    Kind,
    expression,
    generic,
    kind_of,
    meaning_of,
    numbers_said,
    option_of_numbers,
    sides_of,
)
from osler.engines.grounded.forms.texts import FormTexts
from osler.kernel.engine_record import EngineRecord
from osler.notes.forms import AnswerType, FormAnswer, FormQuestion
from osler.notes.model import Evidence, FindingKind, SourceKind
from osler.notes.ports import FindingExtractor
from osler.notes.writing import VisitSources

VERSION: Final = "1"

MOST_EVIDENCE: Final = 6
"""Quotes that one answer carries."""

_OF_THIS_VISIT: Final = frozenset((SourceKind.TRANSCRIPT, SourceKind.CLINICIAN_NOTE, SourceKind.CONTEXT_DOCUMENT))
"""What answers a form. A linked visit tells how things stood then, which is not how they stand now."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What the visit says to yes or no: None where it says both, neither, or "I don't know" (``unsure``)."""

    yes: bool | None
    evidence: tuple[Evidence, ...] = ()
    unsure: bool = False
    passages: tuple[Passage, ...] = ()


class GroundedFormFiller:
    """The deterministic form filler; implements ``FormFiller``."""

    def __init__(self, extractor: FindingExtractor | None = None) -> None:
        if extractor is None:
            from osler.engines.grounded.findings import GroundedFindingExtractor

            extractor = GroundedFindingExtractor()
        self._extractor = extractor

    @property
    def record(self) -> EngineRecord:
        """What answers the questions."""
        return EngineRecord("grounded-forms", VERSION, {"findings": self._extractor.record.label})

    def fill(
        self, sources: VisitSources, questions: Sequence[FormQuestion], visit_day: date
    ) -> Sequence[FormAnswer | None]:
        """Return an answer to each question, None where the visit does not say."""
        read = read_sources(sources, self._extractor)
        read.others = [source for source in read.others if source.kind in _OF_THIS_VISIT]
        filling = _Filling(read, FormTexts(read), visit_day)
        return [filling.answer(question) for question in questions]


class _Filling:
    """One visit's answers."""

    def __init__(self, sources: Sources, texts: FormTexts, visit_day: date) -> None:
        self._sources = sources
        self._texts = texts
        self._visit_day = visit_day

    def answer(self, question: FormQuestion) -> FormAnswer | None:
        match question.type:
            case AnswerType.TEXT:
                return self._texts.text(question)
            case AnswerType.DATE:
                return self._date(question)
            case AnswerType.MULTIPLE:
                return self._several(question)
            case AnswerType.SINGLE:
                return self._one(question)

    def _one(self, question: FormQuestion) -> FormAnswer | None:
        match kind_of(question.options):
            case Kind.YES_NO:
                return self._yes_no(question)
            case Kind.NUMBERS:
                return self._number(question)
            case Kind.SIDES:
                return self._side(question)
            case Kind.STANDING:
                return self._standing(question)
            case Kind.NAMED:
                chosen = self._several(question)
                return chosen if chosen is not None and len(chosen.chosen) == 1 else None

    def _yes_no(self, question: FormQuestion) -> FormAnswer | None:
        said = self._said(question.text, question.above)
        wanted = "unsure" if said.yes is None and said.unsure else {True: "yes", False: "no"}.get(said.yes or False)
        if said.yes is None and not said.unsure:
            return None
        places = [n for n, option in enumerate(question.options) if meaning_of(option) == wanted]
        return FormAnswer(said.evidence, (places[0],)) if len(places) == 1 else None

    def _several(self, question: FormQuestion) -> FormAnswer | None:
        """Choose the options that the visit affirms; "none of these" only if it denies all others."""
        chosen: list[int] = []
        denied: list[int] = []
        evidence: list[Evidence] = []
        against: list[Evidence] = []
        none = [n for n, option in enumerate(question.options) if expression("options", "none").search(option)]
        real = [
            n
            for n, option in enumerate(question.options)
            if n not in none and meaning_of(option) not in ("unasked", "unsure")
        ]
        about = _specific(topic_of(question.text, without=_FAMILY_AND_HISTORY))
        for place in real:
            said = self._said(question.options[place], (), asked=question.text)
            if said.yes and self._belongs(said, about, question):
                chosen.append(place)
                evidence += said.evidence
            elif said.yes is False:
                denied.append(place)
                against += said.evidence
        if chosen:
            return FormAnswer(_few(evidence), tuple(chosen))
        if none and real and len(denied) == len(real):
            return FormAnswer(_few(against), (none[0],))
        return None

    def _belongs(self, said: _Said, about: Topic, question: FormQuestion) -> bool:
        """Say whether what an option names was said of what the question asks for."""
        asks_orders = expression("questions", "ordered").search(question.text) is not None
        if asks_orders and not any(expression("questions", "orders").search(_with_before(p)) for p in said.passages):
            return False
        return not about or any(about.covered(passage) for passage in said.passages)

    def _said(self, text: str, above: Sequence[str], asked: str = "") -> _Said:
        """Return what the visit says of the thing that ``text`` names, each of several for itself."""
        whole = f"{text} {asked}"
        family = intent("family").search(whole) is not None
        history = not family and intent("history").search(whole) is not None
        topic = topic_of(text, without=_FAMILY_AND_HISTORY)
        if not topic:
            topic = topic_of(" ".join(above[-1:]), without=_FAMILY_AND_HISTORY)
        if not topic:
            return _Said(None)
        if len(topic.clinical) < 2 or not _LISTS.search(text):
            return self._of_topic(topic, family, history)
        each = [self._of_topic(Topic(text, (unit,), topic.plain), family, history) for unit in topic.clinical]
        return _together(each, every=re.search(r"\band\b", text) is not None and " or " not in text)

    def _of_topic(self, topic: Topic, family: bool, history: bool) -> _Said:
        for source in self._sources.all:
            found = sightings(source, topic)
            if family:
                found += self._texts.in_family(source, topic)
            said = _decide(found, family, history)
            if said.yes is not None or said.unsure or any(s.denied is not None for s in found):
                return said
        return _Said(None)

    def _number(self, question: FormQuestion) -> FormAnswer | None:
        topic = _specific(topic_of(question.text, without=(r"[(\[][^)\]]*[)\]]", r"\b\d+\b")))
        scaled = expression("questions", "severity").search(question.text) is not None
        found: set[int] = set()
        evidence: list[Evidence] = []
        for passage in self._sources.transcript.passages:
            if passage.asks or (passage.by_clinician and passage.question is None and scaled):
                continue
            asked = passage.question.text if passage.question is not None else ""
            if passage.question is not None and passage.question.before is not None:
                asked = f"{passage.question.before.text} {asked}"
            if scaled and not expression("questions", "scale").search(f"{asked} {passage.text}"):
                continue
            if not topic or not (topic.covered(passage) or (scaled and all(_in(u, asked) for u in topic.units))):
                continue
            said = numbers_said(passage)
            if not said:
                continue
            place = option_of_numbers(question.options, said)
            if place is None:
                return None
            found.add(place)
            evidence += [passage.question.evidence] if passage.question is not None else []
            evidence.append(passage.evidence)
        return FormAnswer(_few(evidence), tuple(found)) if len(found) == 1 else None

    def _side(self, question: FormQuestion) -> FormAnswer | None:
        topic = _specific(topic_of(question.text))
        sides: set[str] = set()
        evidence: list[Evidence] = []
        for source in self._sources.all:
            for passage in source.passages:
                if passage.asks and self._refused(passage):
                    continue
                named = set(sides_of(passage, topic))
                if passage.asks and len(named) > 1:
                    continue  # "is it left or right?"
                for side in named:
                    sides.add(side)
                    evidence.append(passage.evidence)
            if sides:
                break
        wanted = "both" if sides >= {"left", "right"} or "both" in sides else next(iter(sides), "")
        if not sides or ("both" not in sides and len(sides) > 1):
            return None
        places = [n for n, option in enumerate(question.options) if expression("options", wanted).search(option)]
        return FormAnswer(_few(evidence), (places[0],)) if len(places) == 1 else None

    def _refused(self, passage: Passage) -> bool:
        exchange = passage.of.exchanges.get(passage.turn)
        return exchange is not None and exchange.answer.value == "no"

    def _standing(self, question: FormQuestion) -> FormAnswer | None:
        """Choose between current, former and never, of a habit, a medicine or a disease."""
        topic = topic_of(question.text, without=_FAMILY_AND_HISTORY)
        if not topic:
            return None
        for source in self._sources.all:
            found = [
                s for s in sightings(source, topic) if not s.family and not s.hypothetical and s.denied is not None
            ]
            if not found:
                continue
            wanted: set[str] = set()
            for sighting in found:
                quoted = " ".join(e.quote for e in sighting.evidence).lower()
                stopped = sighting.finding is not None and (
                    sighting.finding.attributes.get("action") == "stop"
                    or sighting.finding.temporality.value == "historical"
                )
                if stopped and not sighting.denied:
                    wanted.add("former")
                elif sighting.denied and re.search(r"\bnever\b", quoted):
                    wanted.add("never")
                elif sighting.denied:
                    wanted.add("denied")
                else:
                    wanted.add("current")
            if len(wanted) != 1:
                return None
            places = [
                n
                for n, option in enumerate(question.options)
                if next(iter(wanted)) != "denied" and expression("options", next(iter(wanted))).search(option)
            ]
            if len(places) == 1:
                return FormAnswer(_few([e for s in found for e in s.evidence]), (places[0],))
            return None
        return None

    def _date(self, question: FormQuestion) -> FormAnswer | None:
        assert question.date_format is not None
        again = intent("follow_up").search(question.text) is not None
        without = tuple(rf"\b{word}\b" for word in _date_words())
        topic = topic_of(question.text, without=without)
        if not topic and not again:
            topic = topic_of(" ".join(question.above[-1:]), without=without)
        if not topic and not again:
            return None
        for source in self._sources.all:
            said: list[tuple[SaidDate, Passage]] = []
            for passage in source.passages:
                # "In three months, or sooner if it gets worse": the first is settled.
                settled = _OR_SOONER.sub("", passage.text)
                if passage.asks or expression("questions", "supposes").search(settled):
                    continue
                fits = expression("questions", "seen_again").search(passage.text) if again else topic.covered(passage)
                if fits:
                    said += [(day, passage) for day in dates_in(settled, self._visit_day)]
            if said:
                return self._one_day(said, question)
        return None

    def _one_day(self, said: Sequence[tuple[SaidDate, Passage]], question: FormQuestion) -> FormAnswer | None:
        assert question.date_format is not None
        wanted = question.date_format.precision
        days = {day.day if day.precision >= wanted else None for day, _ in said}
        shown = {question.date_format.write(day) if day is not None else None for day in days}
        only = next(iter(days))
        if len(shown) != 1 or only is None:
            return None
        evidence: list[Evidence] = []
        for _, passage in said:
            evidence += [passage.question.evidence] if passage.question is not None else []
            evidence.append(passage.evidence)
        return FormAnswer(_few(evidence), day=only)


_LISTS: Final = re.compile(r",|/|\b(and|or)\b", re.IGNORECASE)

_FAMILY_AND_HISTORY: Final = (
    r"\b(family|familial|personal|relatives?|parents?)\b",
    r"\b(history|ever|previously|previous|past|prior|before)\b",
)


def _decide(found: Sequence[Sighting], family: bool, history: bool) -> _Said:
    """Say yes or no where all that was said agrees; what is only supposed, or of somebody else, does not count."""
    own = [s for s in found if s.family == family and not s.hypothetical]
    decided = [s for s in own if s.denied is not None]
    if history:
        decided = [s for s in decided if s.past] or decided
    elif not family:
        stopped = [s for s in decided if s.finding is not None and s.finding.attributes.get("action") == "stop"]
        if stopped and all(s in stopped or s.past for s in decided):
            return _Said(False, _of(stopped), passages=tuple(s.passage for s in stopped))
        decided = [s for s in decided if not _is_over(s)]
    if not decided:
        unsure = [s for s in own if s.unsure]
        return _Said(None, _of(unsure), unsure=bool(unsure))
    answers = {s.denied for s in decided}
    if len(answers) > 1:
        return _Said(None)
    return _Said(not decided[0].denied, _of(decided), passages=tuple(s.passage for s in decided))


def _is_over(sighting: Sighting) -> bool:
    """Say whether what is affirmed was then and says nothing of now; a denial of all times is one of now, too."""
    if sighting.denied or not sighting.past:
        return False
    # "You have a history of epilepsy" is said of what one has, "I had migraines as a child" is not.
    lasting = sighting.finding is not None and sighting.finding.kind is FindingKind.PROBLEM
    return not lasting or _THEN.search(sighting.passage.text) is not None


_OR_SOONER: Final = re.compile(r",? or (sooner|earlier|before( that| then)?)\b.*$", re.IGNORECASE)

_THEN: Final = re.compile(
    r"\b(as a (kid|child|teenager)|used to|in the past|when (i|he|she|you) (was|were)|years ago|no longer"
    r"|outgr[eo]w\w*)\b",
    re.IGNORECASE,
)


def _together(each: Sequence[_Said], *, every: bool) -> _Said:
    answers = [said.yes for said in each]
    evidence = _few([e for said in each for e in said.evidence])
    passages = tuple(p for said in each for p in said.passages)
    if all(answer is False for answer in answers):
        return _Said(False, evidence, passages=passages)
    if every and all(answer is True for answer in answers):
        return _Said(True, evidence, passages=passages)
    if not every and any(answer is True for answer in answers):
        yes = [said for said in each if said.yes]
        return _Said(True, _few([e for said in yes for e in said.evidence]), passages=passages)
    return _Said(None)


def _specific(topic: Topic) -> Topic:
    """Leave out of a question what only says what sort of thing it asks for."""
    return Topic(
        topic.text,
        tuple(u for u in topic.clinical if not _is_generic(u.alternatives[0])),
        tuple(u for u in topic.plain if not _is_generic(u.alternatives[0])),
    )


def _is_generic(words: Sequence[str]) -> bool:
    return all(word in generic() for word in words)


def _in(unit: object, text: str) -> bool:
    rows = getattr(unit, "alternatives", ())
    lowered = text.lower()
    return any(all(word in lowered for word in row) for row in rows)


def _with_before(passage: Passage) -> str:
    return f"{passage.before.text if passage.before is not None else ''} {passage.text}"


def _date_words() -> Sequence[str]:
    from osler.engines.grounded.lexicon import table

    words: Sequence[str] = table("forms")["questions"]["dates"]
    return words


def _of(found: Sequence[Sighting]) -> tuple[Evidence, ...]:
    return _few([e for sighting in found for e in sighting.evidence])


def _few(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return the quotes, each once, no more than an answer carries."""
    return tuple(dict.fromkeys(evidence))[:MOST_EVIDENCE]
