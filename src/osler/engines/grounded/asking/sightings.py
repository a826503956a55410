"""Where a visit speaks of something, and how: affirmed or denied, of whom, now, before or only if.

Clinical names come with their findings; any other words get ConText and the answer to their question as a name would.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from osler.engines.grounded.asking.passages import Passage, ReadSource
from osler.engines.grounded.asking.topics import Topic, Unit
from osler.engines.grounded.context import FAMILY, HISTORICAL, HYPOTHETICAL, NEGATED, POSSIBLE, context
from osler.engines.grounded.lexicon import Term, table
from osler.engines.grounded.questions import Answer, about_family, denies
from osler.engines.grounded.reading import Mention, Reading
from osler.notes.model import Evidence, Experiencer, Finding, FindingKind, Temporality
from osler.speech.model import PATIENT

_QUALIFIED: Final = re.compile(r"\w (on|in|at|with|during|after|when|while|by) \w", re.IGNORECASE)

_ASKED_KINDS: Final = frozenset(
    (
        FindingKind.PROBLEM,
        FindingKind.SYMPTOM,
        FindingKind.MEDICATION,
        FindingKind.ALLERGY,
        FindingKind.EXAM,
        FindingKind.PROCEDURE,
        FindingKind.RESULT,
        FindingKind.SOCIAL,
        FindingKind.ORDER,
        FindingKind.PLAN,
    )
)
"""Kinds of findings that say that something is so; a result or a follow-up only names what it is about."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place. ``denied`` None: it is named, and neither affirmed nor denied; ``past`` says that talk is of before.

    ``finding`` is what it was found by, if it was a finding; ``unsure`` that the answer was "I don't know".
    """

    passage: Passage
    evidence: tuple[Evidence, ...]
    denied: bool | None
    family: bool = False
    past: bool = False
    hypothetical: bool = False
    unsure: bool = False
    finding: Finding | None = None


def sightings(source: ReadSource, topic: Topic) -> list[Sighting]:
    """Return where a source speaks of all of a topic, in order.

    A topic of one clinical name goes by its findings, and other words that come with it must stand in the same place
    ("chest pain at rest"), unless all of it is denied. A test beside a name only says how it was looked for.
    """
    found: list[Sighting] = []
    covered: set[tuple[int, int]] = set()
    tests = [u for u in topic.clinical if u.kinds == {FindingKind.PROCEDURE}] if len(topic.clinical) > 1 else []
    named = [u for u in topic.clinical if u not in tests]
    if len(named) == 1:
        for sighting in _by_finding(source, named[0]):
            covered.add((sighting.evidence[0].turn, sighting.evidence[0].start))
            denied = sighting.denied is True and _QUALIFIED.search(topic.text) is not None
            if denied or all(_stands_by(unit, sighting) for unit in (*topic.plain, *tests)):
                found.append(sighting)
    for sighting in _by_words(source, topic):
        places = {(e.turn, e.start) for e in sighting.evidence}
        turn = sighting.evidence[0].turn
        taken = any(t == turn and sighting.passage.start <= start < sighting.passage.end for t, start in covered)
        if not taken and not places & covered:
            found.append(sighting)
    return sorted(found, key=lambda s: (s.evidence[0].turn, s.evidence[0].start))


def _by_finding(source: ReadSource, unit: Unit) -> Iterator[Sighting]:
    for finding in source.findings:
        if finding.kind not in _ASKED_KINDS or not unit.named_by(finding):
            continue
        passage = source.passage_of(finding.evidence[0])
        if passage is None:
            continue
        general = finding.concept not in unit.concepts
        if general and finding.negated:
            continue  # "no knee pain" does not deny all pain
        over = finding.attributes.get("action") == "stop"
        open_ = finding.attributes.get("certainty") in ("possible", "offered")
        declined = finding.attributes.get("action") == "declined"
        medicine = finding.kind is FindingKind.MEDICATION
        presumed = passage.asks and passage.by_clinician and all(e.turn == passage.turn for e in finding.evidence)
        open_ = open_ or (presumed and not medicine)  # "does the cough keep you up?" is a question
        open_ = open_ or (medicine and not finding.negated and not over and advises_against(passage))
        yield Sighting(
            passage,
            finding.evidence,
            denied=None if open_ else finding.negated or declined,
            family=finding.experiencer is Experiencer.FAMILY or _goes_on_of_family(passage),
            past=over or finding.temporality is Temporality.HISTORICAL or _asks_before(passage),
            hypothetical=(finding.temporality is Temporality.HYPOTHETICAL and not declined) or is_apart(passage),
            finding=finding,
        )


def _stands_by(unit: Unit, sighting: Sighting) -> bool:
    passage = sighting.passage
    if unit.place(passage) or (passage.question is not None and unit.place(passage.question)):
        return True
    finding = sighting.finding
    if finding is None:
        return False
    said = {word for words in unit.alternatives for word in words if len(words) == 1}
    values = " ".join(finding.attributes.values()).lower()
    return any(re.search(rf"\b{re.escape(word)}", values) for word in said)


def _by_words(source: ReadSource, topic: Topic) -> Iterator[Sighting]:
    """Yield where the words stand together in one passage, with what their sentence or its answer makes of them."""
    for passage in source.passages:
        places = [unit.place(passage) for unit in topic.units]
        known = [place for place in places if place is not None]
        if not known or len(known) < len(places):
            continue
        start, end = min(s for s, _ in known), max(e for _, e in known)
        reading = source.readings[passage.turn]
        span = (passage.first + start, passage.first + end)
        sighting = _read_place(source, reading, passage, span)
        yield replace(sighting, denied=None) if _is_reaction(source, topic, reading, span) else sighting


def _is_reaction(source: ReadSource, topic: Topic, reading: Reading, span: tuple[int, int]) -> bool:
    """Say whether the words are what a substance once did, of which the question says nothing: no rash of today."""
    at = reading.tokens[span[0]].start
    for finding in source.findings:
        if finding.kind is FindingKind.ALLERGY and not any(unit.named_by(finding) for unit in topic.units):
            told = finding.attributes.get("reaction")
            reactions = [e for e in finding.evidence if e.quote.lower() == told]
            if any(e.turn == reading.index and e.start <= at < e.end for e in reactions):
                return True
    return False


def _read_place(source: ReadSource, reading: Reading, passage: Passage, span: tuple[int, int]) -> Sighting:
    categories = _categories(reading, span)
    tokens = reading.tokens
    named = source.cite(passage.turn, tokens[span[0]].start, tokens[span[1] - 1].end)
    family = FAMILY in categories
    past = HISTORICAL in categories or _asks_before(passage)
    exchange = source.exchanges.get(passage.turn) if passage.asks and passage.speaker != PATIENT else None
    if passage.asks:
        if exchange is None:
            return Sighting(passage, (passage.evidence,), None, family, past)
        number = next((n for n, (s, e) in enumerate(reading.sentences) if s <= span[0] < e), 0)
        asked = Mention(span[0], span[1], (Term(FindingKind.SYMPTOM, "\0"),), number)
        held = replace(exchange, asked=(*exchange.asked, asked))
        denied = denies(held, asked)
        reply = exchange.reply
        if NEGATED in categories and denied is not None:
            denied = None  # "you haven't had any falls?" "yes": what it affirms is open
        if _asks_for_trouble(reading, span):
            denied = None  # "any issues with your medication?" "no": he takes it
        end = max(exchange.end, 1)
        while end < len(reply.words) and reply.words[end] not in (".", "?", "!", "..."):
            end += 1
        said = source.cite(reply.index, reply.tokens[exchange.start].start, reply.tokens[end - 1].end)
        return Sighting(
            passage,
            (named, said),
            denied,
            family or about_family(exchange),
            past,
            unsure=exchange.answer is Answer.UNSURE,
        )
    supposed = HYPOTHETICAL in categories or _supposes().search(passage.text) is not None
    hypothetical = supposed or is_apart(passage)
    denied_here = None if POSSIBLE in categories else NEGATED in categories
    if denied_here is False and _denial().search(passage.text):
        denied_here = None  # a denial stands there that ConText does not tie to the words: open
    return Sighting(passage, (passage.evidence,), denied_here, family, past, hypothetical)


def _categories(reading: Reading, span: tuple[int, int]) -> frozenset[str]:
    starts = [start for start, _ in reading.sentences]
    found: Sequence[Sequence[object]] = context().modifiers(reading.tokens, starts, [(*span, "SYMPTOM")])
    return frozenset(str(getattr(modifier, "category", "")) for modifier in found[0])


def _goes_on_of_family(passage: Passage) -> bool:
    """Say whether a reply goes on about a relative: "granny had cancer" - "what kind?" - "it was breast cancer"."""
    if not _GOES_ON.match(passage.text):
        return False
    recent = [p for p in passage.of.passages[max(0, passage.number - 6) : passage.number] if p.turn >= passage.turn - 3]
    return any(intent("family").search(p.text) for p in recent if p.speaker == passage.speaker)


_GOES_ON: Final = re.compile(r"^\W*((well|um|uh|yeah|yes|so|i think|oh)\b\W*)*(it|that|they|he|she)\b", re.IGNORECASE)


def _asks_before(passage: Passage) -> bool:
    asked = passage.question.text if passage.question is not None and not passage.asks else ""
    return _before().search(f"{asked} {passage.text}") is not None


def _asks_for_trouble(reading: Reading, span: tuple[int, int]) -> bool:
    """Say whether a question asks what trouble comes with the thing named, rather than whether it is there."""
    start = next((s for s, e in reading.sentences if s <= span[0] < e), 0)
    return span[0] > start and _trouble().search(reading.text(start, span[0])) is not None


@cache
def _trouble() -> re.Pattern[str]:
    return re.compile(
        r"\b(issue|problem|trouble|difficult\w*|concern|question|complaint|side effect|reaction)s?"
        r" (with|about|from|to|on|of|taking|getting)\b",
        re.IGNORECASE,
    )


@cache
def _before() -> re.Pattern[str]:
    """Return what puts a sentence in the past; "before the test" or "before bed" does not."""
    return re.compile(
        r"\b(ever|before(?=\W*(?:$|[.,;?!]|and\b|but\b|when\b))|never|in the past|used to|history"
        r"|as a (kid|child)|previous(ly)?)\b",
        re.IGNORECASE,
    )


@cache
def _supposes() -> re.Pattern[str]:
    return re.compile(r"\b(if|unless|in case|would|could|might|should (you|he|she|it|that))\b", re.IGNORECASE)


@cache
def _denial() -> re.Pattern[str]:
    return re.compile(r"\b(no|not|never|none|without|neither|nor)\b|n't\b|n’t\b", re.IGNORECASE)


def intent(name: str) -> re.Pattern[str]:
    """Return an expression of the data file: what a question asks for as a whole."""
    return _expressions("intents")[name]


def command(name: str) -> re.Pattern[str]:
    """Return an expression of the data file: what a command wants done."""
    return _expressions("commands")[name]


def is_apart(passage: Passage) -> bool:
    """Say whether a statement is of people other than the patient and the family."""
    return not passage.asks and _expressions("apart")["others"].search(passage.text) is not None


def advises_against(passage: Passage) -> bool:
    """Say whether the clinician speaks against what is named."""
    return (
        passage.by_clinician and not passage.asks and _expressions("apart")["against"].search(passage.text) is not None
    )


def holds(name: str) -> re.Pattern[str]:
    """Return an expression of the data file: what an answer to such a question must hold."""
    return _expressions("holds")[name]


@cache
def _expressions(name: str) -> dict[str, re.Pattern[str]]:
    return {key: re.compile(text, re.IGNORECASE) for key, text in table("asking")[name].items()}
