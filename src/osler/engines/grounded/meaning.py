"""What a mention means in its place: a complaint or a sign, a test that is ordered or reported, a thing presumed."""

from typing import Final

from osler.engines.grounded.lexicon import body_sites
from osler.engines.grounded.plans import intends, is_order, result_clause
from osler.engines.grounded.reading import Mention, Reading
from osler.notes.model import FindingKind

_TESTS: Final = frozenset(("lab", "imaging", "test"))
_PRESUMING: Final = frozenset(("how", "what", "when", "where", "why", "which", "tell"))
_HAVING: Final = frozenset(
    ("have", "having", "had", "has", "get", "getting", "feel", "feeling", "with", "notice", "in", "of", "on")
)
_TAKING: Final = frozenset(
    (
        "take",
        "taking",
        "taken",
        "took",
        "on",
        "use",
        "using",
        "used",
        "try",
        "tried",
        "need",
        "have",
        "had",
        "start",
        "of",
    )
)
_POLAR: Final = frozenset(("any", "have", "had"))
"""Words with which even "how about" asks whether: "how about any of those headaches?"."""
_DOSE_ASKED: Final = frozenset(("dose", "dosage", "milligrams", "mg", "strength"))
"""In a question before a medicine, these take for granted that it is taken."""
_DEFINITE: Final = frozenset(("the", "your", "this", "that", "these", "those"))


def meaning(reading: Reading, mention: Mention, examining: bool) -> tuple[FindingKind, str] | None:
    """Return what a mention means in its place: the same word is a complaint, a sign, a result or an order."""
    term = mention.term
    sign = mention.meaning(FindingKind.EXAM)
    if term.kind is FindingKind.PROCEDURE:
        if reading.words[mention.start : mention.end] == ["lab"]:
            return None  # the place: "the lab will call you"
        if reading.by_clinician and is_order(reading, mention):
            return FindingKind.ORDER, term.concept
        if reading.by_clinician and term.category in _TESTS and result_clause(reading, mention):
            return FindingKind.RESULT, term.concept
        return None if term.category == "referral" else (FindingKind.PROCEDURE, term.concept)
    if reading.by_clinician and examining and term.kind in (FindingKind.SYMPTOM, FindingKind.EXAM):
        return FindingKind.EXAM, (sign or term).concept
    if term.kind is FindingKind.EXAM:
        clear = examining or mention.end - mention.start > 1
        return (FindingKind.EXAM, term.concept) if reading.by_clinician and clear else None
    if term.kind is FindingKind.SOCIAL and reading.by_clinician and intends(reading, mention.sentence):
        return None
    return term.kind, term.concept


def is_presumed(reading: Reading, mention: Mention, start: int) -> bool:
    """Say whether a question takes for granted what it names: "how is your cough?", "does the pain move?"."""
    words = reading.words
    before = words[max(start, mention.start - 3) : mention.start]
    if mention.term.kind is FindingKind.MEDICATION and before[-2:] in (["how", "much"], ["how", "many"]):
        return True
    if not mention.site and body_sites().find([(word, i) for i, word in enumerate(before[-1:])]):
        return False  # "does your knee lock?"
    if mention.term.kind is FindingKind.MEDICATION and _DOSE_ASKED.intersection(words[start : mention.start]):
        return True
    if not _DEFINITE.intersection(before[-2:]):
        return False
    if _PRESUMING.intersection(words[start : start + 6]) and not _POLAR.intersection(words[start : mention.start]):
        return True
    if mention.term.kind is FindingKind.MEDICATION:
        return not _TAKING.intersection(words[start : mention.start])
    clause = bool(mention.site) and mention.end - mention.start > 2
    complaint = mention.term.kind in (FindingKind.SYMPTOM, FindingKind.PROBLEM)
    return complaint and not clause and not _HAVING.intersection(before)
