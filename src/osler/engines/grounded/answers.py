"""Makes statements of answered questions: "any fevers?" and "no" give "The patient denies fevers." """

import re
from functools import cache

from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.rewriting import (
    Reference,
    finish,
    first_to_third,
    matches_any,
    prefix_of,
    second_to_third,
    statement,
    third_person,
)
from osler.engines.grounded.wording import spell, tidy
from osler.notes.medicines import medicines_named

_ANSWERS_IN_FULL = frozenset(
    {"i", "it", "they", "he", "she", "there", "a", "i'm", "i've", "i don't", "not", "nothing", "never"}
)
"""Answers that begin so say yes or no only if nothing follows ("i do"; "i do have a cough" states something)."""


def polarity(text: str) -> bool | None:
    """Read an answer: True for yes, False for no, None where it is neither."""
    lexicon = load_lexicon()
    bare = re.sub(
        r"^(?:[\s,.]*\b(?:um+|uh+|er+|oh|well|okay|so|i mean|ah|hmm)\b[\s,.]*)+", "", spell(text).lower()
    ).strip(" ,.")
    for words, value in ((lexicon.tables["no_words"], False), (lexicon.tables["yes_words"], True)):
        for phrase in words:
            ending = r"(?=\s*(?:[,.;]|$))" if phrase.split()[0] in _ANSWERS_IN_FULL else r"(?![\w'])"
            if re.match(rf"{re.escape(phrase)}{ending}", bare):
                return value
    return None


def statement_of(question: str, yes: bool, reference: Reference) -> str | None:
    """Return the statement that a yes or a no to the question makes, or None where the question is no plain one."""
    if matches_any("not_written").search(spell(question)):
        return None
    text = tidy(question.rstrip(" ?"))
    text = re.split(r"\?\s*", text)[-1]
    text = re.split(r",? (?:i think |because |that )?(?:we|i) (?:have|had|put|started|know|see|think|can see)\b", text)[
        0
    ]
    if not text or len(text.split()) > 28:
        return None
    declared = _DECLARED.match(text)
    if declared and question.rstrip().endswith("?"):
        denies = re.search(r"\b(?:no|not|never)\b|n't\b", text) is not None
        return finish(statement(text, reference) or "") if denies != yes or (yes and not denies) else None
    noun = prefix_of("asks_noun").match(text)
    if noun and noun.end() > 2:
        ever = yes and _EVER.match(text) is not None
        return _asked_noun(text[noun.end() :], yes, reference, "has had" if ever else "reports")
    inverted = re.match(
        r"^(do|does|did|are|is|was|were|have|has|had|can|could|will) "
        r"(you|your [\w -]+?|it|that|the [\w -]+?) (?=\w)(.*)$",
        text,
        re.IGNORECASE,
    )
    if not inverted or inverted[2].lower() in {"it", "that"} or len(inverted[2].split()) > 3:
        return None
    return _uninverted(inverted[1].lower(), inverted[2].lower(), inverted[3], yes, reference)


_DECLARED = re.compile(
    r"(?:you(?:'re|'ve| are| have| had| take| do| don't| haven't)|there(?:'s| is| was)) (?!any\b)", re.IGNORECASE
)
"""How a statement begins that is put as a question."""


_EVER = re.compile(r"(?:and |so |but )?(?:did|have|had) you (?:\w+ )?ever\b", re.IGNORECASE)
"""A question about all of a life: its yes is no complaint of today."""


def _asked_noun(noun: str, yes: bool, reference: Reference, affirming: str) -> str | None:
    noun = re.sub(r"^(?:any|some|the|a|an|of) (?=\w)", "", noun.strip(" ,"))
    noun = re.sub(r",? (?:or|and)? ?(?:any )?(?:other|else|things?|anything|symptoms? like that)\b.*$", "", noun)
    noun = re.sub(r"\bany ", "", noun)
    noun = re.sub(r"^(?:like|with|in|about) ", "", noun).strip(" ,?")
    noun = re.sub(r"(?: (?:present|right now|lately|recently))+$", "", noun)
    if re.search(r"(?:^| )(?:in|on|of|with|like|the|at|for|to|by|from)$", noun):
        return None
    if not yes and noun in load_lexicon().words("general_complaints"):
        return None
    if (
        not noun
        or re.search(r"\b(?:you|i|me|we|that|what|question|questions|else|other|it|this)\b", noun, re.I)
        or "?" in noun
    ):
        return None
    if not yes and re.match(r"(?:no|not)\b", noun):
        return None
    noun = _own_function().sub(r"\1 \2", noun)
    noun = re.sub(r"\byour\b", reference.possessive, noun, flags=re.I)
    noun = re.sub(
        r"\byourself\b", {"he": "himself", "she": "herself"}.get(reference.subject, "themselves"), noun, flags=re.I
    )
    several = re.search(r"\bor\b|,", noun)
    if yes and several:
        return None
    return finish(f"the patient {affirming if yes else 'denies'} {noun}")


@cache
def _own_function() -> re.Pattern[str]:
    return re.compile(
        rf"\b(in|with|of|to) your ((?:{'|'.join(load_lexicon().patterns('functions'))})\b)", re.IGNORECASE
    )


def _uninverted(auxiliary: str, subject: str, rest: str, yes: bool, reference: Reference) -> str | None:
    lexicon = load_lexicon()
    if re.search(r"\b(?:it|them|those|these)\b|\bthat$", rest):
        return None
    if re.search(r"\?|\bi\b|\bme\b", rest) or (yes and re.search(r"\bor\b", rest)) or not rest.strip():
        return None
    if (
        re.match(r"(?:have|want|need|like|think|mind|see|know|mean|remember|understand)\b", rest)
        and auxiliary == "do"
        and re.search(r"\b(?:question|that|what)\b", rest)
    ):
        return None
    if re.match(r"(?:mean|see|know|think|mind|want|say|tell|mention)\b", rest):
        return None
    who = "the patient" if subject == "you" else re.sub(r"^your ", "the ", subject)
    rest = re.sub(r"^(?:ever|still|also|currently|any) ", "", rest) if not yes else re.sub(r"^ever ", "", rest)
    rest = re.sub(r"\b(?:any|some)\b ", "" if yes else "any ", rest)
    tail = second_to_third(rest, reference)
    first, _, others = tail.partition(" ")
    if auxiliary in {"do", "does"}:
        body = f"{third_person(first, lexicon.words('base_verbs'))} {others}" if yes else f"does not {tail}"
        if yes and third_person(first, lexicon.words("base_verbs")) == first:
            return None
    elif auxiliary == "did":
        body = f"did {tail}" if yes else f"did not {tail}"
    else:
        if subject == "you":
            auxiliary = {"are": "is", "were": "was", "have": "has"}.get(auxiliary, auxiliary)
        body = f"{auxiliary} {tail}" if yes else f"{auxiliary} not {tail}"
    return finish(f"{who} {body}")


def topic_answer(question: str, answer: str, reference: Reference, position: float = 0.0) -> str | None:
    """Write a short answer behind what was asked for: "Duration: three weeks." None where it is no such pair.

    ``position`` is the share of the visit's words before the answer.
    """
    asked = spell(question)
    text = _led_in().sub("", tidy(answer))
    words = text.split()
    if (
        not 1 <= len(words) <= 10
        or polarity(answer) is not None
        or re.search(r"\byou\b|\bi don't\b|\bnot sure\b|\?", text, re.I)
    ):
        return None
    for topic in load_lexicon().tables["topics"]:
        if not re.search(rf"\b(?:{topic['asks']})", asked, re.IGNORECASE):
            continue
        if _OWN_CLAUSE.match(text) or re.fullmatch(r"(?:this|that|here|there)(?: one| side)?", text, re.IGNORECASE):
            return None
        label = topic["label"]
        if label == "Dose":
            named = medicines_named(asked)
            if len(named) != 1:
                return None
            label = named[0]
        if topic.get("of_complaint"):
            complaint = _NAMED.search(asked)
            if complaint is not None:
                noun = re.sub(r"^(?:the|your|this|that|any) ", "", complaint[0].lower())
                label = f"{noun[:1].upper()}{noun[1:]}, {label.lower()}"
            elif position > EARLY:
                return None
        return finish(f"{label}: {first_to_third(text, reference)}")
    return None


EARLY = 0.3
"""Up to this share of the visit's words a question without a subject asks about the complaint."""

_NAMED = re.compile(
    r"\b(?:the|your|this|that|any) (?:\w+ )??(?:pain|cough|headaches?|rash|swelling|fever|nausea|dizziness"
    r"|bleeding|diarrhea|diarrhoea|vomiting|numbness|tingling|discharge|itching|symptoms?|lump|shortness of breath)\b",
    re.IGNORECASE,
)


@cache
def _led_in() -> re.Pattern[str]:
    return re.compile(rf"^(?:(?:{'|'.join(load_lexicon().patterns('answers_led_in'))})\b,? ?)+", re.IGNORECASE)


_OWN_CLAUSE = re.compile(
    r"(?:i|it|the|my|that|this|he|she|they|there|we)(?:'\w+)?\b(?! (?:left|right|morning|evening|first|side))",
    re.IGNORECASE,
)
