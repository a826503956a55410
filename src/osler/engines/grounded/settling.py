"""What later words make of a finding: an offer that was declined or taken, a medicine that was stopped after all."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from osler.engines.grounded.reading import Reading
from osler.engines.grounded.standing import accepts, offered, refusal
from osler.notes.model import Evidence, Finding, FindingKind, Temporality
from osler.speech.model import Transcript

OFFERED: Final = frozenset((FindingKind.MEDICATION, FindingKind.PROCEDURE, FindingKind.ORDER))
"""What a clinician may offer and a patient refuse."""


def settle(transcript: Transcript, readings: Sequence[Reading], found: list[tuple[int, int, Finding]]) -> None:
    """Settle ``found`` (turn, first token, finding) in place."""
    for place, (turn, start, finding) in enumerate(found):
        if finding.kind in OFFERED and finding.attributes.get("action") != "declined":
            found[place] = (turn, start, _settled_offer(transcript, readings, turn, start, finding))
    _name_again(readings, found)
    over = {
        (turn, finding.concept)
        for turn, _, finding in found
        if finding.kind is FindingKind.MEDICATION
        and finding.attributes.get("action") == "stop"
        and finding.temporality is Temporality.HISTORICAL
    }
    for place, (turn, start, finding) in enumerate(found):
        current = finding.temporality is Temporality.CURRENT and "action" not in finding.attributes
        if finding.kind is FindingKind.MEDICATION and current and (turn, finding.concept) in over:
            found[place] = (turn, start, replace(finding, temporality=Temporality.HISTORICAL))


_AGAIN: Final = frozenset(("the", "this", "that"))
_RECENT: Final = 6
"""Turns within which "the swelling" is the one that was spoken of."""


def _name_again(readings: Sequence[Reading], found: list[tuple[int, int, Finding]]) -> None:
    """Call "the swelling" what it was called before: swelling of the ankles."""
    for place, (turn, start, finding) in enumerate(found):
        general = finding.kind is FindingKind.SYMPTOM and finding.concept in ("swelling", "pain", "rash", "numbness")
        if not general or finding.negated or not _AGAIN.intersection(readings[turn].words[:start][-1:]):
            continue
        for earlier_turn, earlier_start, earlier in sorted(found, key=lambda row: row[:2], reverse=True):
            if (earlier_turn, earlier_start) >= (turn, start) or turn - earlier_turn > _RECENT:
                continue
            same = earlier.concept.endswith(f" {finding.concept}") or (finding.concept, earlier.concept) == (
                "swelling",
                "edema",
            )
            if earlier.kind is FindingKind.SYMPTOM and same and not earlier.negated:
                found[place] = (turn, start, replace(finding, concept=earlier.concept))
                break


def _settled_offer(
    transcript: Transcript, readings: Sequence[Reading], turn: int, start: int, finding: Finding
) -> Finding:
    """Mark an offer that the reply declines, or that it leaves open; one that is taken is a plan."""
    reading = readings[turn]
    sentence = next(n for n, (s, e) in enumerate(reading.sentences) if s <= start < e)
    if not offered(reading, sentence):
        return finding
    reply = readings[turn + 1] if turn + 1 < len(readings) and not readings[turn + 1].by_clinician else None
    attributes = dict(finding.attributes)
    evidence = finding.evidence
    if reply is not None and (said := refusal(reply)):
        attributes["action"] = "declined"
        tokens = reply.tokens
        refused = Evidence.cite(transcript, reply.index, tokens[said[0]].start, tokens[said[1] - 1].end)
        evidence = (*evidence, refused)
    elif reply is not None and accepts(reply):
        return finding
    else:
        attributes["certainty"] = "offered"
        attributes.pop("action", None)
    return replace(finding, evidence=evidence, attributes=attributes, temporality=Temporality.HYPOTHETICAL)
