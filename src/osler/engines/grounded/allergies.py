"""Allergies: "allergic to penicillin", "any allergies?" "penicillin", "no known allergies"."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from osler.engines.grounded.context import FAMILY, NEGATED
from osler.engines.grounded.lexicon import indexed, phrases_in, table
from osler.engines.grounded.questions import Answer, Exchange, questioned
from osler.engines.grounded.reading import Mention, Reading
from osler.engines.grounded.standing import (
    allergic,
    asks_what_happens,
    first_reaction,
    is_borne,
    reactions_after,
    side_effect,
)
from osler.notes.model import Evidence, Experiencer, Finding, FindingKind
from osler.speech.model import PATIENT, Transcript

Found = tuple[tuple[int, int], Finding, set[tuple[int, int]]]
"""Place (turn, token), finding, and the mentions (turn, first token) that it has used up."""

_Row = tuple[str, int, int, bool, bool]
"""A substance: name, first token, end token, whether it is denied, whether it is a relative's."""


def allergies(transcript: Transcript, readings: Sequence[Reading], pairs: Sequence[Exchange]) -> Iterator[Found]:
    """Yield the allergies that were stated, those that were asked for, and reactions to medicines."""
    answered: set[int] = set()
    for exchange in pairs:
        word = _asked_for(exchange.question)
        if word is None or exchange.question.turn.speaker == PATIENT:
            continue
        inside = list(_inside(exchange.question))
        question = _cite(transcript, exchange.question, word, word + 1)
        if inside:
            yield from _asked_by_name(transcript, exchange, inside, question)
        substances = [
            row
            for row in _substances(exchange.reply, 0, len(exchange.reply.words))
            if row[0] not in {concept for concept, *_ in inside} and not (inside and not exchange.narrowed)
        ]
        if substances:
            answered.add(exchange.reply.index)
            for row in substances:
                yield _found(transcript, readings, exchange.reply, row, substances, question)
        elif exchange.answer is Answer.NO and not inside:
            reply = _cite(transcript, exchange.reply, exchange.start, exchange.end)
            place = (exchange.question.index, word)
            yield (
                place,
                Finding(FindingKind.ALLERGY, question.quote.lower(), "allergies", (question, reply), negated=True),
                {(exchange.reply.index, m.start) for m in exchange.reply.mentions if is_borne(exchange.reply, m.start)},
            )
        if inside:
            answered.add(exchange.reply.index)
    for reading in readings:
        if reading.index not in answered:
            yield from _stated(transcript, readings, reading)
            yield from _blamed(transcript, readings, reading)


def _asked_by_name(
    transcript: Transcript, exchange: Exchange, inside: Sequence[_Row], question: Evidence
) -> Iterator[Found]:
    """Yield what an answer says to "are you allergic to penicillin?"."""
    if exchange.answer not in (Answer.NO, Answer.YES):
        return
    reply = exchange.reply
    answer = _cite(transcript, reply, exchange.start, exchange.end)
    denied = exchange.answer is Answer.NO
    for concept, start, end, *_ in inside:
        again = {(reply.index, m.start) for m in reply.mentions if m.term.concept == concept}
        name = _cite(transcript, exchange.question, start, end)
        evidence, attributes = [name, answer, question], {}
        reaction = None if denied else first_reaction(reply, exchange.end, len(reply.words))
        used = {(exchange.question.index, start)} | again
        if reaction:
            evidence.append(_cite(transcript, reply, reaction[0], reaction[1]))
            attributes["reaction"] = reply.text(reaction[0], reaction[1]).lower()
            used.add((reply.index, reaction[0]))
        finding = Finding(
            FindingKind.ALLERGY,
            name.quote.lower(),
            concept,
            tuple(evidence),
            negated=denied,
            attributes=attributes,
        )
        yield (exchange.question.index, start), finding, used


def _stated(transcript: Transcript, readings: Sequence[Reading], reading: Reading) -> Iterator[Found]:
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
        substances = list(_substances(reading, start, end))
        for row in substances:
            if _links(reading, named, row[1], row[2]):
                yield _found(transcript, readings, reading, row, substances, anchor)


def _blamed(transcript: Transcript, readings: Sequence[Reading], reading: Reading) -> Iterator[Found]:
    """Yield reactions that make an allergy or an intolerance where nobody says so: "codeine makes me sick"."""
    if reading.by_clinician:
        return
    seen: set[str] = set()
    for mention in reading.mentions:
        if mention.term.kind is not FindingKind.SYMPTOM or reading.asks[mention.sentence]:
            continue
        effect = side_effect(readings, reading.index, mention)
        if effect is None or effect.drug is None or effect.turn != reading.index:
            continue
        over = effect.past and allergic(mention.term.concept)
        if not (over or effect.generic) or effect.drug.term.concept in seen:
            continue
        seen.add(effect.drug.term.concept)
        drug = _cite(transcript, reading, effect.drug.start, effect.drug.end)
        symptom = _cite(transcript, reading, mention.start, mention.end)
        blame = _cite(transcript, reading, effect.start, effect.end)
        finding = Finding(
            FindingKind.ALLERGY,
            drug.quote.lower(),
            effect.drug.term.concept,
            (drug, blame, symptom),
            attributes={
                "reaction": symptom.quote.lower(),
                "type": "reaction" if allergic(mention.term.concept) else "intolerance",
            },
        )
        used = {(reading.index, effect.drug.start)} | ({(reading.index, mention.start)} if effect.generic else set())
        yield (reading.index, effect.drug.start), finding, used


def _found(
    transcript: Transcript,
    readings: Sequence[Reading],
    reading: Reading,
    row: _Row,
    substances: Sequence[_Row],
    anchor: Evidence,
) -> Found:
    name, start, end, negated, family = row
    evidence = [_cite(transcript, reading, start, end), anchor]
    used = {(reading.index, start)}
    attributes = {}
    where, reaction = reading, None
    if not negated:
        reaction = reactions_after(reading, start, end, [(s, e) for _, s, e, *_ in substances])
        asked, told = readings[reading.index + 1 : reading.index + 2], readings[reading.index + 2 : reading.index + 3]
        if reaction is None and asked and told and asks_what_happens(asked[0]) and not told[0].by_clinician:
            where = told[0]
            reaction = first_reaction(where, 0, len(where.words))
    if reaction:
        evidence.append(_cite(transcript, where, reaction[0], reaction[1]))
        attributes["reaction"] = where.text(reaction[0], reaction[1]).lower()
        used.add((where.index, reaction[0]))
    finding = Finding(
        FindingKind.ALLERGY,
        evidence[0].quote.lower(),
        name,
        tuple(evidence),
        negated=negated,
        experiencer=Experiencer.FAMILY if family else Experiencer.PATIENT,
        attributes=attributes,
    )
    return (reading.index, start), finding, used


def _substances(reading: Reading, start: int, end: int) -> Iterator[_Row]:
    """Yield (name, start, end, negated, family) of the medicines and other allergens in ``tokens[start:end)``."""
    taken: set[int] = set()
    for mention in reading.mentions:
        if (
            mention.term.kind is FindingKind.MEDICATION
            and start <= mention.start < end
            and not _treats(reading, mention)
            and not is_borne(reading, mention.start)
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


def _inside(reading: Reading) -> Iterator[_Row]:
    """Yield the substances that the question itself names: "allergic to penicillin?"."""
    for number in sorted(questioned(reading)):
        for row in _substances(reading, *reading.sentences[number]):
            if row[0] not in _other():
                yield row


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
