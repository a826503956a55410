"""Writes sentences to the patient, as "you", for templates whose instructions ask for it."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.lexicon import table
from osler.engines.grounded.phrasing import Line
from osler.engines.grounded.rewriting import Reference, third_person
from osler.engines.grounded.statements import any_of
from osler.notes.medicines import medicines_named
from osler.notes.model import SourceKind
from osler.notes.template_tree import PartKind, TemplateText

_ASKED: Final = re.compile(
    r"\bto (?:the patient|them|him or her) as [\"“]?you\b|\bsecond person\b|\baddress(?:ed)? (?:to )?the patient\b",
    re.IGNORECASE,
)
_PLAINLY: Final = re.compile(
    r"\b(?:plain|everyday|simple) (?:words|language|english)\b|\byear[- ]old (?:knows|understands)\b", re.IGNORECASE
)
_BY_THE_CLINIC: Final = re.compile(
    r"(?:order|send|refer|prescribe|adjust|review|obtain|request|arrange|repeat|recheck|update|submit|give|treat|set)\b",
    re.IGNORECASE,
)
"""Beginnings of a plan's sentences of what the clinic does, written as a note has them: "Order a lipid panel"."""
_BY_US: Final = re.compile(
    r"\b(?:I|we)(?: also| just)?(?: ?['’](?:ll|m|re|d)| will| am| are| would| want| wan)(?! you\b)"
    r"(?! like you\b)|\blet(?: me|['’]?s| us)\b",
    re.IGNORECASE,
)
_OTHERS: Final = re.compile(
    r"\b(?:mother|father|mom|mum|dad|parents?|sister|brother|son|daughter|wife|husband|partner|friend|aunt|uncle|"
    r"grand\w+|child(?:ren)?|baby|doctor|dr|surgeon|nurse|he or she|accompanying)\b",
    re.IGNORECASE,
)
_OF_OTHERS: Final = re.compile(r"\b(?:they|them|their|themselves)\b", re.IGNORECASE)
_OF_ONE: Final = re.compile(r"\b(?:I|me|my|you|your)\b", re.IGNORECASE)
_YOURS: Final = {"they": "you", "them": "you", "their": "your", "themselves": "yourself"}
_FIXED: Final = {"is": "are", "was": "were", "has": "have", "does": "do", "isn't": "aren't", "wasn't": "weren't",
                 "hasn't": "haven't", "doesn't": "don't"}  # fmt: skip
_WORD: Final = re.compile(r"[\w'’-]+|[^\w\s]")
_SUBJECT: Final = "you"


def is_to_patient(template: TemplateText) -> bool:
    """Say whether an instruction of a template asks to write to the patient as "you"."""
    return _instructs(template, _ASKED)


def is_plain(template: TemplateText) -> bool:
    """Say whether an instruction of a template asks for words that everybody knows."""
    return _instructs(template, _PLAINLY)


def _instructs(template: TemplateText, wanted: re.Pattern[str]) -> bool:
    parts = (part for section in template.sections for line in section.lines for part in line.parts)
    return any(part.kind is PartKind.INSTRUCTION and wanted.search(part.text) for part in parts)


def is_for_patient(line: Line) -> bool:
    """Say whether a patient may read a line in a text that is written to him.

    He may read what was said in his visit, and what the clinician asked to add to this very text. Of the clinician's
    own notes he may read which medicine to take and when to come, where nothing is doubted in it; of what others wrote,
    medications and allergies. A suspicion, or a result that nobody told him yet, is not for a page to tell him.
    """
    kinds = {evidence.source for evidence in line.evidence} - {SourceKind.TRANSCRIPT, SourceKind.ADDITION}
    if not kinds:
        return True
    words = table("sources")["patients"]
    if any_of(words["private"]).search(line.text):
        return False
    if SourceKind.CLINICIAN_NOTE not in kinds:
        return line.part in ("medications", "allergies")
    takes = any_of(words["takes"]).match(line.text) is not None and bool(medicines_named(line.text))
    return takes or any_of(words["comes"]).match(line.text) is not None


def of_the_clinic(text: str, quotes: Sequence[str]) -> str:
    """Say of an order that we carry it out, where the clinician did: "Order a test" is no task of the patient's."""
    if _BY_THE_CLINIC.match(text) and any(_BY_US.search(quote) for quote in quotes):
        return f"We will {text[:1].lower()}{text[1:]}"
    return text


def to_patient(text: str, reference: Reference, quotes: Sequence[str] = ()) -> str:
    """Write a sentence about the patient to him: "The patient has been tired" is "You have been tired".

    "He" and "she" are the patient where the visit says so and nobody else is spoken of in the sentence. "They" is the
    patient where he is not called otherwise and the sentence's ``quotes`` speak of one and not of others.
    """
    if reference.plural and any(map(_OF_ONE.search, quotes)) and not any(map(_OF_OTHERS.search, quotes)):
        text = _OF_OTHERS.sub(lambda match: _YOURS[match[0].lower()], text)
    text = re.sub(r"^(?:(?:The )?patient )?reports ", "You reported ", text, flags=re.IGNORECASE)
    denied = re.match(r"^(?:(?:The )?patient )?denies ", text, re.IGNORECASE)
    if denied:
        text = f"You reported no {text[denied.end() :].replace(' and ', ' or ')}"
    text = re.sub(r"\b(?:the |this )?patient['’]s\b", "your", text, flags=re.IGNORECASE)
    own = not reference.plural and not _OTHERS.search(text)
    words = [*re.split(r"(\s+)", re.sub(r"\b(?:the|this) patient\b|^Patient\b", _SUBJECT, text, flags=re.IGNORECASE))]
    pending = False
    for place, spaced in enumerate(words):
        match = re.match(r"^([\w'’-]+)(.*)$", spaced)
        if match is None:
            continue
        word, tail = match[1], match[2]
        low = word.lower().replace("’", "'")
        following = next((each for each in words[place + 1 :] if each.strip()), "")
        if low == _SUBJECT:
            pending = True
            continue
        if own and low == reference.subject:
            word, pending = _SUBJECT, True
        elif own and low in (f"{reference.subject}'s", f"{reference.subject}'ll", f"{reference.subject}'d"):
            been = following.rstrip(".,") in ("been", "had", "got")
            word = {"s": "you've" if been else "you're", "ll": "you'll", "d": "you'd"}[low.partition("'")[2]]
        elif own and low in ("his", "her", "him", "himself", "herself"):
            word = _object(low, following)
        elif pending and low not in load_lexicon().words("adverbs"):
            pending = False
            word = _FIXED.get(low) or _base().get(low, word)
        words[place] = word + tail
    written = "".join(words)
    return written[:1].upper() + written[1:]


def _object(word: str, following: str) -> str:
    if word in ("himself", "herself"):
        return "yourself"
    if word == "him":
        return _SUBJECT
    possesses = re.match(r"[a-z]", following) and following.rstrip(".,") not in _AFTER_OBJECT
    return "your" if word == "his" or possesses else _SUBJECT


_AFTER_OBJECT: Final = frozenset(
    {
        "to",
        "in",
        "on",
        "at",
        "for",
        "with",
        "and",
        "or",
        "but",
        "if",
        "when",
        "back",
        "that",
        "about",
        "from",
        "up",
        "a",
    }
)
"""Words before which "her" is not possessive: "I will see her in two weeks"."""


@cache
def _base() -> dict[str, str]:
    """Return the plain form of each third person: "takes" is "take"."""
    base = load_lexicon().words("base_verbs")
    return {third: verb for verb in sorted(base) if (third := third_person(verb, base)) != verb}
