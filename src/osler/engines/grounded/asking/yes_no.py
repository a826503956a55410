"""Questions that want a yes or a no: what the visit affirms and denies, of the patient or of others, now or before."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from osler.engines.grounded.asking.passages import Passage, Sources
from osler.engines.grounded.asking.replies import Reply, replied
from osler.engines.grounded.asking.sightings import Sighting, intent, sightings
from osler.engines.grounded.asking.topics import Topic, topic_of

_YES_NO: Final = re.compile(
    r"(and |so |but )?(did|does|do|has|have|had|is|are|was|were|any|can|could|will|should)\b"
    r"(?!.*\b(what|which|when|where|who|why|how)\b)",
    re.IGNORECASE,
)
_MENTIONED: Final = re.compile(
    r"\b(mention|talk|speak|spoke|discuss|say|said|bring up|brought up|come up|tell|told|report)\w*\b", re.I
)
_MOST: Final = 4


def is_yes_no(asked: str) -> bool:
    """Say whether a question wants a yes or a no."""
    return _YES_NO.match(asked) is not None


def polar(asked: str, sources: Sources) -> Reply | None:
    """Answer with yes or no and what it rests on; None where the visit says neither."""
    family = intent("family").search(asked) is not None
    without = (intent("family").pattern,) if family else ()
    topic = topic_of(asked, without=without)
    if not topic:
        return None
    topics = [topic]
    if len(topic.clinical) > 1 and re.search(r",|\b(or|and)\b", asked):
        topics = [Topic(asked, (unit,), topic.plain) for unit in topic.clinical]
    for source in sources.all:
        found = [sighting for each in topics for sighting in sightings(source, each)]
        if found:
            return _replied(asked, found, family)
    return None


def _replied(asked: str, found: Sequence[Sighting], family: bool) -> Reply:
    mentioned = _MENTIONED.search(asked) is not None
    own = [s for s in found if s.family == family and not s.hypothetical]
    decided = [s for s in own if s.denied is not None]
    if intent("history").search(asked):
        decided = [s for s in decided if s.past] or decided
    denied = [s for s in decided if s.denied]
    affirmed = [s for s in decided if not s.denied]
    if denied and affirmed:
        return replied("The visit says both:", _passages([*affirmed[:_MOST], *denied[-_MOST:]]))
    if denied:
        lead = "It was spoken of, and denied:" if mentioned else "No:"
        return replied(lead, _passages(denied))
    if affirmed:
        before = all(s.past for s in affirmed) and not intent("history").search(asked)
        return replied("In the past:" if before and not mentioned else "Yes:", _passages(affirmed))
    if own and mentioned:
        return replied("It is mentioned:", _passages(own))
    others = [s for s in found if s.family != family]
    if others:
        whose = "of the patient" if not family else "of the family"
        other = "of the family" if not family else "of the patient"
        return replied(f"The visit does not say so {whose}. What it says {other}:", _passages(others), said=False)
    if any(s.hypothetical for s in found):
        supposed = [s for s in found if s.hypothetical]
        return replied("The visit does not say so of the patient. It is only named:", _passages(supposed), said=False)
    return replied("The visit does not say. It is only named:", _passages(found), said=False)


def _passages(found: Sequence[Sighting]) -> list[Passage]:
    """Return the passages to quote: of a question with its answer, the answer, with the question before it."""
    kept: list[Passage] = []
    for sighting in found:
        passage = sighting.passage
        if passage.asks and len(sighting.evidence) > 1:
            replies = [e for e in sighting.evidence if e.turn != passage.turn]
            reply = passage.of.passage_of(replies[-1]) if replies else None
            if reply is not None:
                passage = replace(reply, question=passage)
        kept.append(passage)
    return kept[:_MOST] if len(kept) <= _MOST else [*kept[: _MOST - 1], kept[-1]]
