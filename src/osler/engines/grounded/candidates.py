"""Every sentence that a note could hold of what was said, each with the utterances that it comes from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from osler.engines.grounded.answers import polarity, statement_of, topic_answer
from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.rewriting import Reference, after_correction, rewrite, without_taken_back
from osler.engines.grounded.utterances import Utterance
from osler.notes.medicines import medicines_named
from osler.speech.model import PATIENT

STATED, CONFIRMED, DENIED, ANSWERED = "stated", "confirmed", "denied", "answered"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence, what it comes from (a question goes before its answer), and how it came about.

    ``asked`` is the question that a patient's statement replies to, "" where there is none. ``inferred``: a word of
    it ("it") was replaced by what the sentence before named.
    """

    text: str
    sources: tuple[Utterance, ...]
    kind: str
    asked: str = ""
    inferred: bool = False

    @property
    def position(self) -> float:
        """0..1: where in the visit it was said."""
        return self.sources[-1].position

    @property
    def by_clinician(self) -> bool:
        """Whether the clinician stated it; answers are the patient's."""
        return self.sources[-1].by_clinician

    @property
    def order(self) -> int:
        """Number of its last utterance: the order of the visit."""
        return self.sources[-1].index


def candidates(said: Sequence[Utterance], reference: Reference) -> list[Candidate]:
    """Return the candidate sentences in the order of the visit, of which ``said`` is every utterance."""
    found: list[Candidate] = []
    question: Utterance | None = None
    earlier: Utterance | None = None
    fresh = False
    for whole in said:
        utterance = whole
        right_words = after_correction(whole.text)
        said_last = without_taken_back(whole.text if right_words is None else right_words)
        if said_last is None:
            continue
        if said_last != whole.text:
            utterance = replace(whole, text=said_last)
        if right_words is not None and found and _same_breath(found[-1].sources[-1], whole):
            wrong = found.pop()
            if wrong.kind == ANSWERED:
                right = replace(utterance, text=re.split(r"[,;]", utterance.text)[0])
                answered = _answer(wrong.sources[0], right, reference)
                found += [answered] if answered is not None else []
                continue
        if utterance.is_question:
            if utterance.by_clinician:
                earlier = question if question is not None and question.turn == utterance.turn else None
                question, fresh = utterance, True
            continue
        if question is not None and fresh and not utterance.by_clinician:
            fresh = False
            answered = _answer(question, utterance, reference)
            if answered is not None:
                found.append(answered)
                if answered.kind == ANSWERED:
                    continue
        elif question is not None and utterance.by_clinician and utterance.turn != question.turn:
            question = None
        text = rewrite(utterance, reference)
        before = said[utterance.index - 1] if utterance.index else None
        if before is not None and _is_bare_yes(before, utterance) and not said[max(0, before.index - 1)].is_question:
            # "You've had chest pain." "Yes. It's like a pressure."
            before = said[before.index - 1] if before.index else before
        sources: tuple[Utterance, ...] = (utterance,)
        if text is not None and _POINTING.match(text):
            on_answer = found and before is not None and found[-1].kind == ANSWERED
            if on_answer and _adjoins(found[-1], before or utterance, utterance):
                text, meant = None, None
            else:
                text, meant = _resolved(text, _replied_to(utterance, before, question), before, utterance)
            sources = (meant, utterance) if meant is not None else ()
            if text is None and found and before is not None and _adjoins(found[-1], before, utterance):
                found[-1] = _extended(found[-1], utterance, reference) or found[-1]
        elif text is not None and _OBJECT.search(text) and utterance.by_clinician:
            if found and before is not None and _adjoins(found[-1], before, utterance):
                found[-1] = _extended(found[-1], utterance, reference) or found[-1]
            text = None
        elif text is not None and _HANGING.search(text) and utterance.by_clinician:
            text, meant = _with_referent(text, before, utterance)
            sources = (meant, utterance) if meant is not None else ()
            if text is None and found and before is not None and _adjoins(found[-1], before, utterance):
                found[-1] = _extended(found[-1], utterance, reference) or found[-1]
        if text is not None and len(sources) == 1 and not utterance.by_clinician and question is not None:
            text, meant = _with_medicine(text, [question] if earlier is None else [question, earlier])
            sources = (meant, utterance) if meant is not None else sources
        if text is None and found and before is not None and _adjoins(found[-1], before, utterance):
            found[-1] = _lasting(found[-1], utterance)
        if text is not None and (utterance.by_clinician or _is_clause(text)):
            asked = question.text if question is not None and not utterance.by_clinician else ""
            found.append(Candidate(text, sources, STATED, asked, inferred=len(sources) > 1))
    return [c for c in found if c.kind != DENIED or not _contradicted(c, found)]


def _same_breath(before: Utterance, utterance: Utterance) -> bool:
    return before.turn == utterance.turn and before.index == utterance.index - 1


NEARBY = 12
"""Utterances within which a patient's own words overrule a bare "no"."""


def _contradicted(denial: Candidate, others: Sequence[Candidate]) -> bool:
    """Say whether the patient, right after a "no", says that some of what was asked about is there."""
    denied = beginnings(denial.text) - plain_beginnings()
    reply = denial.sources[-1].text
    rest = beginnings(reply)
    denies_again = re.match(r"no\W+(?:never|not|none|no)\b(?!.*\b(?:but|just|only|except)\b)", reply.strip().lower())
    if denied & rest and not denies_again and re.search(r",|\bor\b", denial.text):
        return True
    for other in others:
        near = 0 <= other.order - denial.order <= NEARBY and other.kind == STATED and not other.by_clinician
        if not near or _NEGATES.search(other.text):
            continue
        if denied & beginnings(other.text):
            return True
    return False


_NEGATES = re.compile(r"\b(?:not?|never|denies|without|cannot)\b|n't\b", re.IGNORECASE)


def beginnings(text: str, shortest: int = 4) -> set[str]:
    """Return the first five letters of each word of ``shortest`` letters or more: "dizzy" and "dizziness" are one."""
    return {w[:5] for w in re.findall(rf"[a-z]{{{shortest},}}", text.lower())}


@cache
def plain_beginnings() -> frozenset[str]:
    """Return the beginnings of words that name no complaint."""
    return frozenset(w[:5] for w in load_lexicon().words("plain_words"))


_POINTING = re.compile(
    r"(?P<it>It(?='s| )|They(?='re| )|That(?='s| (?:is|was|has|does|did|really|started)\b))(?P<rest>.*)$", re.DOTALL
)
"""A sentence whose subject stands in the sentence before."""


_OBJECT = re.compile(
    r"^(?:\w+) (?:to \w+ )?(?:that|it|them|those|this)(?=[ .,](?!morning|week|month|year|afternoon))", re.IGNORECASE
)
"""An imperative whose object stands in the sentence before ("wear that for a few days")."""

_HANGING = re.compile(r"\b(?P<link>before|after|during|until) (?:it|that|then)(?=[.,])", re.IGNORECASE)
"""What the time is counted from stands in the sentence before ("eat nothing before it")."""

MOST_JOINED = 36
"""Words in a sentence made of two that hang together."""


def _adjoins(last: Candidate, before: Utterance, utterance: Utterance) -> bool:
    """Say whether the last candidate was the same speaker's words right before."""
    near = last.sources[-1].index == before.index and before.turn == utterance.turn
    return near and last.kind in (STATED, ANSWERED)


def _replied_to(utterance: Utterance, before: Utterance | None, question: Utterance | None) -> Utterance | None:
    """Return the question right before that an utterance replies to: the clinician's, or one that the patient asked."""
    if before is None or before.speaker == utterance.speaker:
        return None
    if utterance.by_clinician:
        return before if before.is_question else None
    if before.by_clinician and not before.is_question:
        return before if re.search(r"\byou(?:'ve)?\b", before.text, re.IGNORECASE) else None
    return question if before is question else None


def _is_bare_yes(before: Utterance, utterance: Utterance) -> bool:
    """Say whether the same patient has just said no more than yes."""
    alone = before.turn == utterance.turn and not utterance.by_clinician and len(before.text.split()) <= 2
    return alone and polarity(before.text) is True


@cache
def _referents() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(load_lexicon().patterns('referents'))})\b", re.IGNORECASE)


def _with_referent(text: str, before: Utterance | None, utterance: Utterance) -> tuple[str | None, Utterance | None]:
    """Name the test that "before it" means if the same speaker's sentence before opens with one, else (None, None)."""
    if before is None or before.turn != utterance.turn:
        return None, None
    named = _referents().search(before.text)
    if named is None:
        return None, None
    return _HANGING.sub(rf"\g<link> the {named[0].lower()}", text), before


def _extended(last: Candidate, utterance: Utterance, reference: Reference) -> Candidate | None:
    """Join a sentence that hangs on the one before it to that one."""
    text = rewrite(utterance, reference)
    if text is None or len(last.text.split()) + len(text.split()) > MOST_JOINED:
        return None
    joined = f"{last.text.removesuffix('.')}; {text[0].lower()}{text[1:]}"
    return replace(last, text=joined, sources=(*last.sources, utterance))


def _lasting(last: Candidate, utterance: Utterance) -> Candidate:
    """Join a time that stands alone to what the patient said right before: "I get headaches. For two weeks now"."""
    text = utterance.text.strip(" .,")
    if utterance.by_clinician or last.kind != STATED or not _TIME_ALONE.fullmatch(text):
        return last
    if re.search(r"\b(?:for|since|ago)\b", last.text, re.IGNORECASE):
        return last  # it says when already
    joined = f"{last.text.removesuffix('.')}, {text[0].lower()}{text[1:]}."
    return replace(last, text=joined, sources=(*last.sources, utterance))


_TIME_ALONE = re.compile(
    r"(?:for|since|over)(?: (?:about|around|almost|nearly|maybe|probably|at least|over|like|the (?:last|past)))*"
    r"(?: [\w-]+){0,3} (?:minutes?|hours?|days?|nights?|weeks?|months?|years?|yesterday"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day)(?: now| (?:and|or) (?:a )?half)?",
    re.IGNORECASE,
)


@cache
def _antecedent() -> re.Pattern[str]:
    nouns = "|".join(load_lexicon().patterns("antecedents"))
    sides = rf"(?:(?:{'|'.join(load_lexicon().patterns('antecedent_modifiers'))}) )*"
    after = "|".join(load_lexicon().patterns("antecedent_followers"))
    return re.compile(
        rf"\b(?P<head>your|my|the|a|an|that|this|some|any)\s+(?P<noun>{sides}(?:{nouns}))\b"
        rf"(?=\s*(?:[,.?]|$|(?:{after})\b))",
        re.IGNORECASE,
    )


def _resolved(
    text: str, question: Utterance | None, before: Utterance | None, utterance: Utterance
) -> tuple[str | None, Utterance | None]:
    """Put in the thing meant for a leading "it", if the question or the sentence before names it, else (None, None)."""
    match = _POINTING.match(text)
    if match is None:
        return None, None
    near = (
        [before] if before is not None and before.speaker == utterance.speaker and before.turn == utterance.turn else []
    )
    for source in [*near, *([question] if question is not None else [])]:
        named = list(_antecedent().finditer(source.text))
        if not named:
            continue
        if re.search(r"\b(?:show|point)\b", source.text, re.IGNORECASE):
            continue
        noun = named[0]["noun"].lower()
        rest = re.sub(r"^'s (?=been|had|gotten|gone|started|gradually|improved)", " has ", match["rest"])
        rest = re.sub(r"^'s ", " is ", re.sub(r"^'re ", " are ", rest))
        many = noun.endswith("s") and not noun.endswith(("ss", "us", "is"))
        if many != (match["it"] == "They") and not re.match(r"(?:diabetes|palpitations)", noun):
            continue
        return f"The {noun}{rest}", source
    return None, None


_TAKES_IT = re.compile(r"\b(tak(?:es?|en|ing)|took|us(?:es?|ed|ing)|on) (?:it|them|that|those)\b", re.IGNORECASE)


def _with_medicine(text: str, questions: Sequence[Utterance]) -> tuple[str | None, Utterance | None]:
    """Name the medicine that "takes it" means if the last question names just one; None where it stays unknown.

    ``questions`` are those of the last turn that asked, the last one first: "Amlodipine? 10 mg?" are two.
    """
    if not _TAKES_IT.search(text):
        return text, None
    for question in questions:
        named = medicines_named(question.text)
        if len(named) == 1:
            return _TAKES_IT.sub(rf"\1 {named[0]}", text), question
        if named:
            break
        if re.search(r"\b(?:medications?|medicines?|tablets?|pills?)\b", question.text, re.IGNORECASE):
            return _TAKES_IT.sub(r"\1 the medication", text), question
    return None, None


@cache
def _clause() -> re.Pattern[str]:
    return load_lexicon().any_of("finite_verbs")


def _is_clause(text: str) -> bool:
    """Say whether a patient's words make a sentence: they hold a finite verb."""
    return _clause().search(text) is not None


def _answer(question: Utterance, reply: Utterance, reference: Reference) -> Candidate | None:
    yes = polarity(reply.text)
    asked = question.text if reply.speaker == PATIENT else _asked_of_another(question.text)
    if yes is None:
        text, kind = topic_answer(question.text, reply.text, reference, reply.position), ANSWERED
    else:
        text, kind = statement_of(asked, yes, reference), CONFIRMED if yes else DENIED
    if text is not None and kind == CONFIRMED:
        told = _MEASURE.search(reply.text)
        text = f"{text.removesuffix('.')}, {told[1].strip()}." if told else text
    return Candidate(text, (question, reply), kind) if text is not None else None


_MEASURE = re.compile(
    r"^(?:yes|yeah|yep)\W+((?:(?:about|around|maybe) )?(?:\d|(?:an?|one|two|three|four|five|six|half)\b)"
    r"[\w ,.-]{0,40}?)\W*$",
    re.IGNORECASE,
)
"""A yes with a figure: "Yes, 101.8 last night."."""

_THIRD = (("has", "have"), ("does", "do"), ("is", "are"), ("was", "were"), ("did", "did"), ("can", "can"))


def _asked_of_another(question: str) -> str:
    """Put a question about the patient ("has she had a fever?") as it would be put to the patient."""
    for third, second in _THIRD:
        question = re.sub(rf"\b{third} (?:he|she|they)\b", f"{second} you", question, flags=re.IGNORECASE)
    return re.sub(r"\b(?:his|her|their)\b", "your", question, flags=re.IGNORECASE)
