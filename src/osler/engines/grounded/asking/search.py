"""Answers by search: the passage that holds all that a question names, and the kind of thing that it asks for."""

import re
from collections.abc import Sequence
from typing import Final

from osler.engines.grounded.asking.passages import Passage, Sources, stem
from osler.engines.grounded.asking.replies import Reply, replied
from osler.engines.grounded.asking.sightings import holds, intent
from osler.engines.grounded.asking.topics import Topic, topic_of
from osler.notes.model import FindingKind
from osler.notes.tokens import numbers, tokenize
from osler.speech.model import PATIENT

LEAST: Final = 0.5
"""How much of a topic a passage must hold, where every thing that it names is near."""

MOST: Final = 3
"""Passages of one answer."""

_OF_SPEAKER: Final = re.compile(
    r"\b(?:did|does|do|has) (?:the |our )?(patient|he|she|they|client) (?:say|said|tell|mention"
    r"|report|describe|complain)",
    re.IGNORECASE,
)
_EMPTY: Final = re.compile(
    r"\W*(okay|ok|yeah|yes|no|mm-hmm|right|alright|sure|great|good|um|uh|so|well|and|i see|\W)*\W*", re.I
)


def searched(asked: str, sources: Sources) -> Reply | None:
    """Answer by quotes; None where no passage holds all that is asked for."""
    family = intent("family").search(asked) is not None
    topic = question_topic(asked)
    if not topic:
        return _of_family(asked, sources) if family else None
    for source in sources.all:
        scored = [(_worth(asked, topic, p), p) for p in source.passages if not p.asks and not _EMPTY.fullmatch(p.text)]
        # What is so in general is in no visit, unless somebody said just that.
        least = 1.0 if intent("knowledge").search(asked) else LEAST
        fitting = [(worth, p) for worth, p in scored if worth >= least and _fits(asked, p, family)]
        if fitting:
            best = max(worth for worth, _ in fitting)
            chosen = [p for worth, p in fitting if worth >= best - 0.05]
            chosen = chosen if len(chosen) <= MOST else _longest(chosen)
            return replied("", [*chosen, *_shown_after(asked, chosen)])
    return None


_WH: Final = ("how long", "how often", "where", "when", "why", "how much", "how many")


def _worth(asked: str, topic: Topic, passage: Passage) -> float:
    """Return how well a passage answers; more, if it answers the same question: "where?" of what was just named."""
    covered = topic.covered(passage)
    if 0 < covered < 1 and passage.question is not None:
        put, wanted = passage.question.text.lower(), asked.lower()
        since = "how long" in wanted and re.search(r"\bwhen did\b", put) is not None
        if since or any(word in put and word in wanted for word in _WH):
            return max(covered, 0.9)
    return covered


_SHOWN: Final = re.compile(r"\b(show|find|found|result|reveal|read)\w*\b", re.IGNORECASE)
_SIGNS: Final = frozenset((FindingKind.PROBLEM, FindingKind.EXAM, FindingKind.SYMPTOM))


def _shown_after(asked: str, chosen: Sequence[Passage]) -> list[Passage]:
    """Return what the same speaker goes on to report, where a question asks what a test showed."""
    if not _SHOWN.search(asked):
        return []
    found = []
    for passage in chosen:
        for after in passage.of.passages[passage.number + 1 : passage.number + 4]:
            reports = any(term.kind in _SIGNS for mention in after.mentions for term in mention.terms)
            if after.speaker == passage.speaker and not after.asks and reports:
                found.append(after)
    return found[:MOST]


def nearest(asked: str, sources: Sources) -> Sequence[Passage]:
    """Return passages about the clinical things in a question that the visit does not answer."""
    topic = question_topic(asked)
    if not topic.clinical:
        return ()
    about = Topic(asked, topic.clinical, ())
    return [p for p in sources.transcript.passages if not p.asks and about.covered(p) == 1.0][:2]


def question_topic(asked: str) -> Topic:
    """Return what a question is about, without the words that say what kind of answer it wants."""
    return (
        topic_of(
            asked,
            without=(
                intent("family").pattern,
                r"\bhow (long|often|much|many|big|bad|far|old|high|severe|frequently)\b"
                r"(?= (is|was|are|did|does|do|has|have|should)\b)",
                r"\b(what|which) (dose|date|day|time|year|kind|type|sort)\b",
                r"\b(dose|dosage)\b",
            ),
        )
        if not _SIZE.search(asked)
        else topic_of(asked, without=(intent("family").pattern,))
    )


_SIZE: Final = re.compile(r"\bhow (big|large|bad|severe)\b", re.IGNORECASE)


def _fits(asked: str, passage: Passage, family: bool) -> bool:
    """Say whether a passage holds the kind of thing that the question's first word asks for."""
    lowered = asked.lower()
    text = passage.text
    if family and not intent("family").search(text):
        return False
    if _OF_SPEAKER.search(asked) and passage.speaker != PATIENT and passage.of.readings:
        return passage.of.kind.value != "transcript"
    if re.search(r"\bhow (much|many|big|old|high|bad|severe)\b", lowered):
        return bool(numbers(passage.tokens))
    if re.search(r"\bhow (often|frequently)\b", lowered):
        return holds("frequency").search(text) is not None
    if re.search(r"\bhow long\b", lowered):
        return holds("how_long").search(text) is not None
    if re.match(r"(and )?when\b|.*\bwhat (date|day|time|year)\b", lowered):
        return (holds("when").search(text) or holds("then").search(text)) is not None
    if re.match(r"(and )?(who|whose)\b", lowered):
        return (intent("family") if family else holds("who")).search(text) is not None
    if re.match(r"(and )?why\b", lowered):
        return holds("why").search(text) is not None
    if re.match(r"(and )?where\b", lowered):
        return holds("where").search(text) is not None
    return True


def _of_family(asked: str, sources: Sources) -> Reply | None:
    """Return what is said of relatives, of those alone whom the question names, where nothing more is asked."""
    named = {stem(token.norm) for token in tokenize(asked)} & _RELATIVES
    found = [
        p
        for p in sources.transcript.passages
        if not p.asks
        and (not named.isdisjoint(p.stems) if named else intent("family").search(p.text))
        and not re.search(r"\bfamily (doctor|physician|practice)\b", p.text, re.I)
    ]
    return replied("", _longest(found)) if found else None


_RELATIVES: Final = frozenset(
    stem(word)
    for word in (
        "mother", "father", "sister", "brother", "parents", "grandmother", "grandfather", "aunt", "uncle", "son",
        "daughter", "wife", "husband", "cousin",
    )
)  # fmt: skip


def _longest(passages: Sequence[Passage]) -> list[Passage]:
    """Return those that say most, in their order."""
    kept = sorted(passages, key=lambda p: -len(set(p.stems)))[:MOST]
    return [p for p in passages if p in kept]
