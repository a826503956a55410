"""Orders, results, advice and follow-up in the clinician's words."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from osler.engines.grounded.attributes import duration_in
from osler.engines.grounded.context import HYPOTHETICAL, NEGATED
from osler.engines.grounded.lexicon import indexed, phrases_in, table
from osler.engines.grounded.reading import Mention, Reading
from osler.engines.grounded.standing import is_general, safety_net
from osler.notes.model import Evidence, Finding, FindingKind, Temporality
from osler.speech.model import Transcript

Place = tuple[int, int]
"""Turn and token at which a finding starts."""

_NOT_AHEAD = frozenset(("'ve", "have", "had", "'re", "are", "were", "said", "know", "'d", "did"))
"""Words that make "I see you" a look at the record: "I see you've had stones"."""

_IMPERATIVE = 3
"""Tokens before the advice of an imperative: "please do n't eat"."""

_LONGEST = 30
"""Tokens of advice that a finding quotes."""


def is_order(reading: Reading, mention: Mention) -> bool:
    """Say whether the clinician orders the test, referral or therapy: before it an intention and a verb of ordering."""
    start, _ = reading.sentences[mention.sentence]
    before = reading.words[start : mention.start]
    if mention.modified(NEGATED) or mention.modified(HYPOTHETICAL):
        return False
    intentions = phrases_in(before, _tests("intention"))
    if phrases_in(before, _never_advice()):
        return False
    # "Since you've been tired, I'm going to order ...": what lies before the intention is no part of the order.
    if phrases_in(before[intentions[-1][0] :] if intentions else before, _tests("past")):
        return False
    return bool(intentions) and any(s >= intentions[0][0] for s, _ in phrases_in(before, _tests("order")))


def intends(reading: Reading, sentence: int) -> bool:
    """Say whether a sentence says what is to be done."""
    start, end = reading.sentences[sentence]
    return bool(phrases_in(reading.words[start:end], _plan("intention")))


def time_of(reading: Reading, mention: Mention) -> tuple[int, int] | None:
    """Return the tokens that say when an order is due: "in three months" after it."""
    _, end = reading.sentences[mention.sentence]
    when = duration_in(reading, mention.end, min(end, mention.end + 10), bare=True)
    if when is None or reading.words[when[0] - 1] not in ("in", "within", "after"):
        return None
    if phrases_in(reading.words[mention.end : when[0]], _tests("order")):
        return None
    return when[0] - 1, when[1]


def result_clause(reading: Reading, mention: Mention) -> tuple[int, int] | None:
    """Return the tokens that give the result of a test: the rest of its sentence, or the next one ("it showed ...")."""
    start, end = reading.sentences[mention.sentence]
    if phrases_in(reading.words[start : mention.start], _tests("show_me")):
        following = mention.sentence + 1
        if following >= len(reading.sentences):
            return None
        start, end = reading.sentences[following]
        return (start, end) if phrases_in(reading.words[start:end], _tests("result")) else None
    if mention.end < end and phrases_in(reading.words[mention.end : end], _tests("result")):
        return mention.end, end
    return None


def plans(transcript: Transcript, reading: Reading, sentence: int) -> Iterator[tuple[Place, Finding]]:
    """Yield the follow-up and the advice of one sentence of the clinician."""
    if not reading.by_clinician or reading.asks[sentence]:
        return
    start, end = reading.sentences[sentence]
    words = reading.words[start:end]
    follow = _follow_up(reading, start, end)
    conditional = False
    conditions: list[tuple[int, int]] = []
    if follow:
        first, last, when = follow
        conditions = phrases_in(words, _follow_ups("conditions"))
        conditional = any(start + s < first for s, _ in conditions)
        evidence = _cite(transcript, reading, first, last)
        yield (
            (reading.index, first),
            Finding(
                FindingKind.FOLLOW_UP,
                evidence.quote.lower(),
                "follow-up",
                (evidence,),
                temporality=Temporality.HYPOTHETICAL if conditional else Temporality.CURRENT,
                attributes={"when": when},
            ),
        )
    if safety_net(reading, sentence) and not (follow and conditional):
        start = start + conditions[0][0] if follow and conditions else start
        evidence = _cite(transcript, reading, start, min(_trimmed(reading, end), start + _LONGEST + 10))
        yield (
            (reading.index, start),
            Finding(
                FindingKind.FOLLOW_UP,
                evidence.quote.lower(),
                "return precautions",
                (evidence,),
                temporality=Temporality.HYPOTHETICAL,
            ),
        )
        return
    intentions = phrases_in(words, _plan("intention"))
    first = intentions[0][0] if intentions else 0
    if phrases_in(words, _never_advice()):
        return
    advised = sorted((s, concept) for concept, index in _advice() for s, _ in phrases_in(words, index) if s >= first)
    if not intentions:
        if is_general(reading, sentence):
            return
        # Without an intention, only an imperative is advice: "check your blood pressure at home".
        advised = [row for row in advised if row[0] <= _IMPERATIVE]
    if advised and not follow:
        concept = advised[0][1]
        evidence = _cite(transcript, reading, start + first, min(_trimmed(reading, end), start + first + _LONGEST))
        yield (reading.index, start + first), Finding(FindingKind.PLAN, evidence.quote.lower(), concept, (evidence,))


def _follow_up(reading: Reading, start: int, end: int) -> tuple[int, int, str] | None:
    """Return (start, end, when) of a promise to meet again after a stated time."""
    for s, e in phrases_in(reading.words[start:end], _follow_ups("phrases")):
        after = start + e
        if reading.words[after : after + 1] and reading.words[after] in _NOT_AHEAD:
            continue
        if event := _event(reading, after, min(end, after + 14)):
            return start + s, event[1], reading.text(*event).lower()
        if not set(reading.words[after : min(end, after + 8)]).intersection(_follow_up_times()):
            continue
        when = duration_in(reading, after, min(end, after + 14), bare=True)
        if when:
            return start + s, when[1], reading.text(*when).lower()
    return None


def _event(reading: Reading, start: int, end: int) -> tuple[int, int] | None:
    """Return the tokens of "once the lab results are ready": from the word that says when to the end of its clause."""
    for s, e in phrases_in(reading.words[start : min(end, start + 6)], _follow_ups("events")):
        last = start + e
        while last < end and reading.tokens[last].is_word:
            last += 1
        if phrases_in(reading.words[start + e : last], _follow_ups("event_things")):
            return start + s, last
    return None


def _trimmed(reading: Reading, end: int) -> int:
    """Return the end of a sentence without its closing marks and its ", okay?"."""
    while end > 1 and not reading.tokens[end - 1].is_word:
        end -= 1
    if end > 2 and reading.words[end - 1] in ("okay", "ok", "right") and reading.words[end - 2] == ",":
        end -= 2
    return end


def _cite(transcript: Transcript, reading: Reading, start: int, end: int) -> Evidence:
    end = max(end, start + 1)
    return Evidence.cite(transcript, reading.index, reading.tokens[start].start, reading.tokens[end - 1].end)


@cache
def _tests(name: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("actions")["tests"][name])


@cache
def _plan(name: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("actions")["plan"][name])


@cache
def _advice() -> tuple[tuple[str, Mapping[str, Sequence[tuple[str, ...]]]], ...]:
    return tuple((concept, indexed(phrases)) for concept, phrases in table("actions")["plan"]["advice"].items())


@cache
def _never_advice() -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("actions")["plan"]["never"]["phrases"])


@cache
def _follow_ups(name: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("actions")["follow_up"][name])


@cache
def _follow_up_times() -> frozenset[str]:
    return frozenset(table("actions")["follow_up"]["times"])
