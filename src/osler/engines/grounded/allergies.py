"""Allergies: "allergic to penicillin", "any allergies?" "penicillin", "no known allergies"."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from osler.engines.grounded.context import FAMILY, NEGATED
from osler.engines.grounded.lexicon import indexed, phrases_in, table
from osler.engines.grounded.questions import Answer, Exchange, questioned
from osler.engines.grounded.reading import Mention, Reading
from osler.notes.model import Evidence, Experiencer, Finding, FindingKind
from osler.speech.model import PATIENT, Transcript

Found = tuple[tuple[int, int], Finding, set[tuple[int, int]]]
"""Place (turn, token), finding, and the mentions (turn, first token) that it has used up."""


def allergies(transcript: Transcript, readings: Sequence[Reading], pairs: Sequence[Exchange]) -> Iterator[Found]:
    """Yield the allergies that were stated, and those that were asked for and named or denied."""
    answered: set[int] = set()
    for exchange in pairs:
        word = _asked_for(exchange.question)
        if word is None or exchange.question.turn.speaker == PATIENT:
            continue
        substances = list(_substances(exchange.reply, 0, len(exchange.reply.words)))
        question = _cite(transcript, exchange.question, word, word + 1)
        if substances:
            answered.add(exchange.reply.index)
            for name, start, end, negated, family in substances:
                yield _found(transcript, exchange.reply, name, start, end, negated, family, question)
        elif exchange.answer is Answer.NO and not list(_inside(exchange.question)):
            reply = _cite(transcript, exchange.reply, exchange.start, exchange.end)
            place = (exchange.question.index, word)
            yield (
                place,
                Finding(FindingKind.ALLERGY, question.quote.lower(), "allergies", (question, reply), negated=True),
                set(),
            )
    for reading in readings:
        if reading.index not in answered:
            yield from _stated(transcript, reading)


def _stated(transcript: Transcript, reading: Reading) -> Iterator[Found]:
    for number, (start, end) in enumerate(reading.sentences):
        if reading.asks[number]:
            continue
        words = reading.words[start:end]
        none = phrases_in(words, _phrases("none"))
        if none:
            evidence = _cite(transcript, reading, start + none[0][0], start + none[0][1])
            finding = Finding(FindingKind.ALLERGY, evidence.quote.lower(), "allergies", (evidence,), negated=True)
            yield (reading.index, start + none[0][0]), finding, set()
            continue
        named = [i for i in range(start, end) if reading.words[i] in _words()]
        if not named:
            continue
        anchor = _cite(transcript, reading, named[0], named[0] + 1)
        for name, s, e, negated, family in _substances(reading, start, end):
            if not _links(reading, named, s, e):
                continue
            yield _found(transcript, reading, name, s, e, negated, family, anchor)


def _found(
    transcript: Transcript,
    reading: Reading,
    name: str,
    start: int,
    end: int,
    negated: bool,
    family: bool,
    anchor: Evidence,
) -> Found:
    evidence = _cite(transcript, reading, start, end)
    finding = Finding(
        FindingKind.ALLERGY,
        evidence.quote.lower(),
        name,
        (evidence, anchor),
        negated=negated,
        experiencer=Experiencer.FAMILY if family else Experiencer.PATIENT,
    )
    return (reading.index, start), finding, {(reading.index, start)}


def _substances(reading: Reading, start: int, end: int) -> Iterator[tuple[str, int, int, bool, bool]]:
    """Yield (name, start, end, negated, family) of the medicines and other allergens in ``tokens[start:end)``."""
    taken: set[int] = set()
    for mention in reading.mentions:
        if (
            mention.term.kind is FindingKind.MEDICATION
            and start <= mention.start < end
            and not _treats(reading, mention)
        ):
            taken.update(range(mention.start, mention.end))
            negated = mention.modified(NEGATED)
            yield mention.term.concept, mention.start, mention.end, negated, mention.modified(FAMILY)
    for s, e in phrases_in(reading.words[start:end], _phrases("allergens")):
        if not taken.intersection(range(start + s, start + e)):
            yield " ".join(reading.words[start + s : start + e]), start + s, start + e, False, False


def _links(reading: Reading, named: Sequence[int], start: int, end: int) -> bool:
    """Say whether a substance is what the allergy is to: "allergic to X", "allergies are X", "X allergy"."""
    return any(end == i or (i < start and _linking().intersection(reading.words[i + 1 : start])) for i in named)


def _treats(reading: Reading, mention: Mention) -> bool:
    """Say whether the medicine is taken for the allergy rather than its cause: "I take Claritin for my allergies"."""
    start, end = reading.sentences[mention.sentence]
    before = reading.words[max(start, mention.start - 6) : mention.start]
    return bool(
        {
            "take",
            "taking",
            "took",
            "try",
            "prescribed",
            "given",
            "use",
            "using",
            "on",
            "tried",
            "start",
            "prescribe",
        }.intersection(before)
    ) or ("for" in reading.words[mention.end : end])


def _asked_for(reading: Reading) -> int | None:
    """Return the token at which a turn's question asks for allergies."""
    for number in sorted(questioned(reading)):
        start, end = reading.sentences[number]
        for i in range(start, end):
            if reading.words[i] in _words() and not _other().intersection(reading.words[max(start, i - 1) : i + 2]):
                return i
    return None


def _inside(reading: Reading) -> Iterator[Mention]:
    """Yield the medicines that the question itself names: "allergic to penicillin?"."""
    asked = questioned(reading)
    return (m for m in reading.mentions if m.sentence in asked and m.term.kind is FindingKind.MEDICATION)


def _cite(transcript: Transcript, reading: Reading, start: int, end: int) -> Evidence:
    return Evidence.cite(transcript, reading.index, reading.tokens[start].start, reading.tokens[end - 1].end)


@cache
def _phrases(name: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("questions")["allergies"][name])


@cache
def _words() -> frozenset[str]:
    return frozenset(table("questions")["allergies"]["words"])


@cache
def _linking() -> frozenset[str]:
    return frozenset(table("questions")["allergies"]["links"])


@cache
def _other() -> frozenset[str]:
    return frozenset(table("questions")["allergies"]["not_allergens"])
