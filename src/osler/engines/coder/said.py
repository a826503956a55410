"""What the transcript adds: where a condition was spoken of, and without a note the conditions themselves."""

from collections.abc import Sequence

from osler.coding.coder import CodingTask, Reference, ReferenceSource
from osler.coding.terminology import Terminology
from osler.engines.coder.compounds import EVERYDAY
from osler.engines.coder.drafts import Draft, score_of
from osler.engines.coder.finding import mentions, sentences
from osler.engines.coder.systems import code_in
from osler.engines.coder.vocabulary import NO_CONDITION, Vocabulary, bag, words_of
from osler.notes.model import Experiencer, Finding, FindingKind, SourceKind, Temporality
from osler.speech.model import Transcript

_CODED = frozenset((FindingKind.PROBLEM, FindingKind.SYMPTOM))
_UNDOUBTED = frozenset(("possible", "offered"))


def said(
    task: CodingTask, terminology: Terminology, drafts: Sequence[Draft], vocabulary: Vocabulary, category: bool
) -> list[Draft]:
    """Return the drafts with references into the transcript; without a note, drafts of what was found in it.

    Only what was found as the patient's own counts, and neither denied nor only feared or doubted. A finding belongs to
    a draft if the two have a code in common, or the finding's words are the draft's. ``category``: codes of one
    category are as good as the same.
    """
    if task.transcript is None:
        return list(drafts)
    result = list(drafts)
    for finding in task.findings:
        if finding.kind not in _CODED or not _holds(finding):
            continue
        spoken = _draft(finding, task.transcript, terminology, vocabulary)
        if spoken is None:
            continue
        own = [d for d in result if _same(d, spoken, category)]
        if own:
            for draft in own:
                draft.references += [r for r in spoken.references if r not in draft.references]
        elif not task.note.strip():
            result.append(spoken)
    return result


def _holds(finding: Finding) -> bool:
    past = finding.temporality is not Temporality.CURRENT and finding.kind is FindingKind.SYMPTOM
    feared = finding.temporality is Temporality.HYPOTHETICAL
    doubted = finding.attributes.get("certainty") in _UNDOUBTED
    return not (finding.negated or finding.experiencer is Experiencer.FAMILY or past or feared or doubted)


def _draft(finding: Finding, transcript: Transcript, terminology: Terminology, vocabulary: Vocabulary) -> Draft | None:
    first = finding.evidence[0]
    if first.source is not SourceKind.TRANSCRIPT:
        return None
    told = (finding.attributes.get("laterality", ""), finding.attributes.get("site", ""))
    concept = " ".join([*(each for each in told if each and each not in finding.concept), finding.concept])
    words = words_of(concept)
    named = mentions(words, sentences(concept, words), vocabulary)
    if not named:
        return None
    best = max(named, key=lambda m: m.weight)
    quoted = words_of(first.quote)
    if len(best.names[0].words) == 1 and EVERYDAY.intersection(word.token.norm for word in quoted):
        return None
    for mention in mentions(quoted, sentences(first.quote, quoted), vocabulary):
        if mention.names[0].words > best.names[0].words:
            best = mention  # what was said is more than the finding's general name
    name = best.names[0]
    if name.code == NO_CONDITION:
        return None
    near = bag(concept) | name.words
    refined = code_in(terminology, name, concept, near, near)
    if refined is None:
        return None
    references = [
        Reference(ReferenceSource.TRANSCRIPT, e.quote, e.start, e.end, e.turn)
        for e in finding.evidence
        if e.source is SourceKind.TRANSCRIPT and transcript.turns[e.turn].text[e.start : e.end] == e.quote
    ]
    return Draft(
        code=refined.code,
        text=first.quote,
        score=score_of(name.source, best.cost, leading=False),
        hint=refined.hint,
        references=references[:1] or [],
        words=name.words,
        size=len(name.words),
    )


def _same(draft: Draft, spoken: Draft, category: bool) -> bool:
    if draft.code == spoken.code or spoken.words == draft.words:
        return True
    return category and draft.code[:3] == spoken.code[:3] and bool(draft.words & spoken.words)
