"""Questions and their answers: what a patient's "no" denies and a "yeah" affirms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Final

from osler.engines.grounded.context import FAMILY, NEGATED
from osler.engines.grounded.lexicon import indexed, phrases_in, table
from osler.engines.grounded.reading import Mention, Reading


class Answer(StrEnum):
    """What an answer says to a yes-or-no question."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question turn and the turn that answers it.

    ``asked`` are the mentions in the question; ``answer`` the tokens ``[start:end)`` of the answering turn that carry
    yes or no; ``narrowed`` says that the answer goes on with what is different ("no, just my knee").
    """

    question: Reading
    reply: Reading
    asked: tuple[Mention, ...]
    answer: Answer
    start: int
    end: int
    narrowed: bool


_MAX_ASIDE: Final = 3
"""Words: a clinician's sentence this short between two questions ("okay.") does not part them."""


def exchanges(readings: Sequence[Reading]) -> list[Exchange]:
    """Pair each question turn with its answer, in the order of the visit."""
    found = []
    for question, reply in pairwise(readings):
        asked = questioned(question)
        if not asked or reply.turn.speaker == question.turn.speaker or not reply.words:
            continue
        answer, start, end = classify(reply.words)
        sentence = _end_of_sentence(reply, start)
        narrowed = bool(phrases_in(reply.words[start:sentence], _phrases("narrowing")))
        mentions = tuple(m for m in question.mentions if m.sentence in asked)
        found.append(Exchange(question, reply, mentions, answer, start, end, narrowed))
    return found


def questioned(reading: Reading) -> frozenset[int]:
    """Return the sentences of a turn that wait for an answer: its last run of questions, asides between allowed."""
    asked: list[int] = []
    for number in range(len(reading.sentences) - 1, -1, -1):
        start, end = reading.sentences[number]
        if reading.asks[number] or number in reading.confirms:
            asked.append(number)
        elif end - start > _MAX_ASIDE + 1 or not asked:
            break
    return frozenset(asked)


def classify(words: Sequence[str]) -> tuple[Answer, int, int]:
    """Return what a turn's first words answer and which tokens ``[start:end)`` say so; (OTHER, 0, 0) if none do."""
    start = 0
    while start < len(words) and not _answer_at(words, start) and (skip := _opener(words, start)):
        start += skip
    for answer in (Answer.UNSURE, Answer.NO, Answer.YES):
        length = _leading(words, start, _answers(answer))
        if not length:
            continue
        end = start + length
        if answer is Answer.YES:
            after = end + (end < len(words) and words[end] == ",")
            turned = _leading(words, after, _phrases("reversing"))
            if turned:
                return Answer.NO, start, after + turned
        if answer is Answer.NO and _takes_back(words, end):
            return Answer.OTHER, start, end
        return answer, start, end
    return Answer.OTHER, 0, 0


def denies(exchange: Exchange, mention: Mention) -> bool | None:
    """Say whether the answer denies (True) or affirms (False) an asked mention; None if it does neither."""
    negative_question = mention.modified(NEGATED)
    if exchange.answer is Answer.NO:
        return None if _denies_another(exchange, mention) else True
    if exchange.answer is not Answer.YES:
        return None
    if negative_question:
        rest = exchange.reply.words[exchange.end :]
        agreeing = _leading(exchange.reply.words, exchange.start, _phrases("agreeing"))
        return True if agreeing and not phrases_in(rest[:8], _phrases("disagreeing")) else None
    alternatives = [m for m in exchange.asked if m.sentence == mention.sentence]
    named = {term.concept for m in exchange.reply.mentions if not m.modified(FAMILY) for term in m.terms}
    if _names_another(exchange):
        return None  # "numbness in the feet?" "some tingling in the toes"
    if any(term.concept in named for other in alternatives for term in other.terms):
        return None  # "body aches, joint pain?" "a bit of joint pain": what it does not name stays open
    if len(alternatives) > 1 and _offers_choice(exchange.question, mention.sentence):
        return None
    return False


def past_answer(exchange: Exchange) -> tuple[int, int] | None:
    """Return the tokens of an answer that puts what was asked in the past: "not anymore", "I used to"."""
    words = exchange.reply.words
    start = 0
    while start < len(words) and (skip := _opener(words, start)):
        start += skip
    if exchange.answer is Answer.YES:
        start = exchange.end + (words[exchange.end : exchange.end + 1] == [","])
    elif words[start : start + 2] == ["no", ","]:
        start += 2
    length = _leading(words, start, _phrases("past"))
    return (start, start + length) if length else None


def _denies_another(exchange: Exchange, mention: Mention) -> bool:
    """Say whether the "no" is that of one thing of a list: "nausea or vomiting?" "no nausea"."""
    reply = exchange.reply
    asked = {term.concept for m in exchange.asked for term in m.terms}
    own = {term.concept for term in mention.terms}
    end = exchange.end
    while end < len(reply.words) and reply.words[end] not in (",", ".", "?", "!", "..."):
        end += 1
    named = {term.concept for m in reply.mentions if exchange.start <= m.start < end for term in m.terms}
    if phrases_in(reply.words[exchange.start :], _phrases("sweeping")) or named & own:
        return False
    return exchange.end > exchange.start and bool(named & asked)


def _names_another(exchange: Exchange) -> bool:
    """Say whether a "some" or "a little" goes on with a symptom that was not asked for."""
    reply = exchange.reply
    if not _leading(reply.words, exchange.start, _phrases("amounts")):
        return False
    asked = {term.concept for m in exchange.asked for term in m.terms}
    following = [m for m in reply.mentions if 0 <= m.start - exchange.end <= 1]
    return bool(following) and not any(term.concept in asked for m in following for term in m.terms)


def about_family(exchange: Exchange) -> bool:
    """Say whether the question asks about the patient's relatives."""
    words = exchange.question.words
    return any(
        phrases_in(words[start:end], _family())
        for number, (start, end) in enumerate(exchange.question.sentences)
        if exchange.question.asks[number]
    )


def _offers_choice(reading: Reading, sentence: int) -> bool:
    """Say whether a question lists alternatives, so that a bare "yes" does not tell which."""
    start, end = reading.sentences[sentence]
    words = reading.words[start:end]
    return "or" in words or words.count(",") > 1


def _takes_back(words: Sequence[str], end: int) -> bool:
    """Say whether "no" only opens: "no, yeah, I do"."""
    after = end + (end < len(words) and words[end] == ",")
    return after > end and after < len(words) and words[after] in ("yeah", "yes", "yep")


def _end_of_sentence(reading: Reading, token: int) -> int:
    """Return the end of the second sentence from ``token``: "no , just my knee" is cut after its "no ,"."""
    ends = [end for _, end in reading.sentences if end > token]
    return ends[min(1, len(ends) - 1)] if ends else token


def _answer_at(words: Sequence[str], start: int) -> bool:
    """Say whether an answer stands at ``start``: "uh-uh" is one, though "uh" alone only opens."""
    return any(_leading(words, start, _answers(answer)) for answer in (Answer.UNSURE, Answer.NO, Answer.YES))


def _opener(words: Sequence[str], start: int) -> int:
    return _leading(words, start, _openers())


def _leading(words: Sequence[str], start: int, phrases: Mapping[str, Sequence[tuple[str, ...]]]) -> int:
    """Return the length of the longest phrase that stands at ``start``, else 0."""
    if start >= len(words):
        return 0
    for phrase in phrases.get(words[start], ()):
        if tuple(words[start : start + len(phrase)]) == phrase:
            return len(phrase)
    return 0


@cache
def _openers() -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("questions")["openers"])


@cache
def _answers(answer: Answer) -> Mapping[str, Sequence[tuple[str, ...]]]:
    names = {Answer.YES: "positive", Answer.NO: "negative", Answer.UNSURE: "unsure"}
    return indexed(table("questions")["answers"][names[answer]])


@cache
def _phrases(name: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("questions")["answers"][name])


@cache
def _family() -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("questions")["family"]["words"])
