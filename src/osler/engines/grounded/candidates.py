"""Every sentence that a note could hold of what was said, each with the utterances that it comes from."""

import re
from dataclasses import dataclass
from functools import cache

from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.rewriting import Reference, polarity, rewrite, statement_of, topic_answer
from osler.engines.grounded.utterances import Utterance, utterances
from osler.speech.model import Transcript

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


def candidates(transcript: Transcript, reference: Reference) -> list[Candidate]:
    """Return the candidate sentences in the order of the visit."""
    said = utterances(transcript)
    found: list[Candidate] = []
    question: Utterance | None = None
    fresh = False
    for utterance in said:
        if utterance.is_question:
            if utterance.by_clinician:
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
        sources: tuple[Utterance, ...] = (utterance,)
        if text is not None and _POINTING.match(text):
            text, meant = _resolved(text, question if not utterance.by_clinician else None, before, utterance)
            sources = (meant, utterance) if meant is not None else ()
        if text is not None and (utterance.by_clinician or _is_clause(text)):
            asked = question.text if question is not None and not utterance.by_clinician else ""
            found.append(Candidate(text, sources, STATED, asked, inferred=len(sources) > 1))
    return found


_POINTING = re.compile(
    r"(?P<it>It(?='s| )|They(?='re| )|That(?='s| (?:is|was|has|does|did|really|started)\b))(?P<rest>.*)$", re.DOTALL
)
"""A sentence whose subject stands in the sentence before."""


@cache
def _antecedent() -> re.Pattern[str]:
    nouns = "|".join(load_lexicon().patterns("antecedents"))
    sides = r"(?:(?:left|right|lower|upper|blood|acid|high|chest|back|knee|neck|abdominal|stomach|shoulder|low|sore|runny|kidney|joint|hip|ear|eye|throat|head|muscle) )*"
    return re.compile(
        rf"\b(?P<head>your|my|the|a|an|that|this|some|any)\s+(?P<noun>{sides}(?:{nouns}))\b", re.IGNORECASE
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
        noun = named[-1]["noun"].lower()
        rest = re.sub(r"^'s (?=been|had|gotten|gone|started|gradually|improved)", " has ", match["rest"])
        rest = re.sub(r"^'s ", " is ", re.sub(r"^'re ", " are ", rest))
        many = noun.endswith("s") and not noun.endswith(("ss", "us", "is"))
        if many != (match["it"] == "They") and not re.match(r"(?:diabetes|palpitations)", noun):
            continue
        return f"The {noun}{rest}", source
    return None, None


@cache
def _clause() -> re.Pattern[str]:
    return load_lexicon().any_of("finite_verbs")


def _is_clause(text: str) -> bool:
    """Say whether a patient's words make a sentence: they hold a finite verb."""
    return _clause().search(text) is not None


def _answer(question: Utterance, reply: Utterance, reference: Reference) -> Candidate | None:
    yes = polarity(reply.text)
    if yes is None:
        text, kind = topic_answer(question.text, reply.text, reference), ANSWERED
    else:
        text, kind = statement_of(question.text, yes, reference), CONFIRMED if yes else DENIED
    return Candidate(text, (question, reply), kind) if text is not None else None
