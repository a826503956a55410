"""The grounded coder: codes a note by the names of conditions in it; no code without words that earn it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from osler.coding.coder import CodedEntity, CodingTask, RankedCode, Reference, ReferenceSource, Setting, with_conflicts
from osler.coding.terminology import Terminology
from osler.engines.coder.combining import combined
from osler.engines.coder.compounds import is_everyday, is_something_else
from osler.engines.coder.drafts import PASSING, Draft, score_of
from osler.engines.coder.finding import Mention, Sentence, mentions, sentences
from osler.engines.coder.reasons import SIGNS, reasons
from osler.engines.coder.refining import alternatives
from osler.engines.coder.remembered import RememberedTerminology
from osler.engines.coder.said import said
from osler.engines.coder.standing import Section, Standing, is_answered_no, sections, standing
from osler.engines.coder.systems import code_in
from osler.engines.coder.vocabulary import NO_CONDITION, Word, bag, vocabulary, words_of
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import NoClinicalContentError

VERSION: Final = "3"
"""Raised when the same note would give other codes."""

_SIDES: Final = frozenset(("right", "left", "bilateral"))
_SIMILAR: Final = 5
_LONGEST_LINE: Final = 8
_SURE: Final = 0.75
"""The least score with which a terminology's own search names a line of the assessment."""
_CONDITIONS: Final = tuple("ABCDEFGHIJKLMNOPQRSTZ0123456789")
_NOT_CODED: Final = frozenset(
    (":", "no", "not", "denies", "denied", "without", "negative", "rule", "possible", "likely", "probable", "suspected")
) | frozenset(("if", "may", "might", "should", "will", "continue", "start", "stop", "increase", "decrease", "refer"))
"""Words of lines that name no present condition: denials, doubts, plans, labels of what follows."""
_LOOSE: Final = 1.0
"""The cost from which the words of a name stand too far apart to name the condition themselves."""
_TO_COME: Final = ("Z89", "Z90", "Z94", "Z95", "Z96", "Z98", "R63.4")
"""Codes of what was done, or happened of itself: none of what is only wanted or still to come."""


class GroundedCoder:
    """Implements ``Coder``: for ICD-10-CM by names and rules, for any other terminology by the words so found."""

    def __init__(self) -> None:
        self._remembered: dict[tuple[str, str], RememberedTerminology] = {}

    @property
    def record(self) -> EngineRecord:
        """What codes."""
        return EngineRecord("grounded-coder", VERSION)

    def code(self, task: CodingTask, terminology: Terminology) -> list[CodedEntity]:
        """Return the patient's own present conditions with their codes. Raises NoClinicalContentError."""
        spoken = task.transcript is not None and any(turn.text.strip() for turn in task.transcript.turns)
        if not task.note.strip() and not spoken:
            raise NoClinicalContentError("There is nothing to code: no note, and no transcript with words.")
        terminology = self._remember(terminology)
        drafts = _of_note(task, terminology) if task.note.strip() else []
        drafts = said(task, terminology, drafts, vocabulary(), category=True)
        drafts = combined(drafts, terminology, task.setting)
        return with_conflicts([_finished(draft, terminology) for draft in drafts], terminology)

    def _remember(self, terminology: Terminology) -> RememberedTerminology:
        """Return the terminology with a memory, the same one each time for one release."""
        release = terminology.system, terminology.version
        kept = self._remembered.get(release)
        if kept is None or not kept.is_of(terminology):
            kept = self._remembered[release] = RememberedTerminology(terminology)
        return kept


def _of_note(task: CodingTask, terminology: Terminology) -> list[Draft]:
    text = task.note
    words = words_of(text)
    cut = sentences(text, words)
    parts = sections(text, words, cut)
    assessed = Section.LEADING in parts
    wide = frozenset(form for word in words for form in word.forms)
    drafts: list[Draft] = []
    told: list[tuple[Draft, Section, int]] = []
    named = mentions(words, cut, vocabulary())
    for mention in named:
        if mention.names[0].code == NO_CONDITION or is_everyday(text, words, mention):
            continue
        if is_something_else(words, cut, mention, complaint=mention.names[0].code.startswith(SIGNS)):
            continue
        sentence = cut[mention.sentence]
        stands = standing(words, sentence, mention, parts[mention.sentence])
        if not _coded(stands, task.setting) or is_answered_no(words, cut, mention):
            continue
        draft = _draft(text, words, sentence, mention, stands, terminology, wide)
        if (
            draft is None
            or _is_over(draft, stands, task.setting)
            or (stands.planned and draft.code.startswith(_TO_COME))
        ):
            continue
        if draft.code.startswith(SIGNS):
            if stands.section is Section.MEDICATION:
                continue
            if assessed and not draft.leading and task.setting is Setting.OUTPATIENT:
                told.append((draft, stands.section, mention.sentence - parts.index(stands.section)))
                continue
        drafts.append(draft)
        if draft.other_side:
            drafts.append(replace(draft, code=draft.other_side, references=list(draft.references), other_side=None))
    drafts += reasons(told, drafts)
    drafts += _of_unnamed_lines(text, words, cut, parts, {mention.sentence for mention in named}, terminology)
    return drafts


def _of_unnamed_lines(
    text: str,
    words: Sequence[Word],
    cut: Sequence[Sentence],
    parts: Sequence[Section],
    known: set[int],
    terminology: Terminology,
) -> list[Draft]:
    """Return what the terminology's own search knows of short lines of the assessment in which no name was found."""
    drafts = []
    for number, sentence in enumerate(cut):
        inside = words[sentence.start : sentence.end]
        content = [at for at in range(sentence.start, sentence.end) if words[at].forms]
        if parts[number] is not Section.LEADING or number in known or not 1 < len(content) <= _LONGEST_LINE:
            continue
        if _NOT_CODED.intersection(word.token.norm for word in inside):
            continue
        start, end = words[content[0]].token.start, words[content[-1]].token.end
        found = terminology.search(text[start:end], limit=1)
        if not found or found[0].score < _SURE or not found[0].code.startswith(_CONDITIONS):
            continue
        drafts.append(
            Draft(
                code=found[0].code,
                text=text[start:end],
                score=0.7 * found[0].score,
                leading=True,
                references=[Reference(ReferenceSource.CONSULT_NOTE, text[start:end], start, end)],
                words=frozenset(form for at in content for form in words[at].forms),
                size=len(content),
            )
        )
    return drafts


def _coded(stands: Standing, setting: Setting) -> bool:
    if stands.section is Section.MEDICATION and not stands.treated:
        return False
    if stands.denied or stands.family or stands.hypothetical or stands.section in (Section.FAMILY, Section.SKIPPED):
        return False
    return not stands.uncertain or setting is Setting.INPATIENT


def _is_over(draft: Draft, stands: Standing, setting: Setting) -> bool:
    """Say whether what is named was once, and is no more; a heart attack leaves a code of its own.

    What was taken away in a hospital stay is what the stay was for.
    """
    if stands.former and draft.code.startswith("I21"):
        draft.code, draft.hint, draft.others = "I25.2", None, []
        return False
    ceased = stands.ceased and draft.code.startswith("F17")
    era = stands.era and draft.code.startswith("U07")
    operated = stands.operated and setting is Setting.OUTPATIENT
    return ceased or era or operated or (stands.former and PASSING.match(draft.code) is not None)


def _draft(
    text: str,
    words: Sequence[Word],
    sentence: Sentence,
    mention: Mention,
    stands: Standing,
    terminology: Terminology,
    wide: frozenset[str],
) -> Draft | None:
    near = frozenset(form for word in words[sentence.start : sentence.end] for form in word.forms)
    near = (near - _SIDES) | _sides(words, sentence, mention)
    leading = stands.section is Section.LEADING
    first, last = _with_side(words, sentence, mention)
    start, end = words[first].token.start, words[last - 1].token.end
    coded = [(name, code_in(terminology, name, text[start:end], near, wide)) for name in mention.names]
    usable = [(name, refined) for name, refined in coded if refined is not None]
    if not usable:
        return None
    name, refined = usable[0]
    return Draft(
        code=refined.code,
        text=text[start:end],
        score=score_of(name.source, mention.cost, leading),
        leading=leading,
        hint=refined.hint,
        others=[other.code for _, other in usable[1:] if other.code != refined.code],
        references=[Reference(ReferenceSource.CONSULT_NOTE, text[start:end], start, end)],
        words=name.words,
        size=len(name.words) + len(near & _SIDES),
        other_side=refined.other_side,
        close=mention.cost < _LOOSE,
        titled=_is_titled(terminology, refined.code, name.words),
    )


def _is_titled(terminology: Terminology, code: str, words: frozenset[str]) -> bool:
    found = terminology.find(code)
    return found is not None and not words.isdisjoint(bag(found.description) - _SIDES)


def _sides(words: Sequence[Word], sentence: Sentence, mention: Mention) -> frozenset[str]:
    """Return the sides that go with a mention: named in it, else the nearest one of its sentence."""
    where = [(at, side) for at in range(sentence.start, sentence.end) for side in _SIDES.intersection(words[at].forms)]
    inside = frozenset(side for at, side in where if mention.start <= at < mention.end)
    if inside:
        return inside

    def apart(at: int) -> int:
        return mention.start - at if at < mention.start else at - mention.end + 1

    near = sorted((apart(at), side) for at, side in where if apart(at) <= 6)
    return frozenset(near[0][1:]) if near else frozenset()


def _with_side(words: Sequence[Word], sentence: Sentence, mention: Mention) -> tuple[int, int]:
    """Return the words of a mention with the side right before it, or after it and a comma."""
    first, last = mention.start, mention.end
    if first > sentence.start and _SIDES.intersection(words[first - 1].forms):
        first -= 1
    after = last + 1 if last < sentence.end and words[last].token.norm == "," else last
    if after < sentence.end and _SIDES.intersection(words[after].forms):
        last = after + 1
    return first, last


def _finished(draft: Draft, terminology: Terminology) -> CodedEntity:
    candidates: dict[str, float] = {}
    for code in draft.others:
        candidates.setdefault(code, draft.score * 0.7)
    for match in terminology.search(draft.text, limit=_SIMILAR + 1):
        candidates.setdefault(match.code, min(draft.score, match.score) * 0.8)
    for place, code in enumerate(alternatives(terminology, draft.code)):
        candidates.setdefault(code, draft.score * (0.5 - 0.01 * place))
    candidates.pop(draft.code, None)
    similar = sorted(candidates.items(), key=lambda item: -item[1])[:_SIMILAR]
    return CodedEntity(
        entity=draft.text,
        primary=_ranked(draft.code, draft.score, terminology),
        similar=tuple(_ranked(code, score, terminology) for code, score in similar),
        references=tuple(sorted(draft.references, key=lambda r: (r.source.value, r.turn or 0, r.start))),
        hint=draft.hint,
    )


def _ranked(code: str, score: float, terminology: Terminology) -> RankedCode:
    found = terminology.find(code)
    assert found is not None, "codes come from the terminology"
    return RankedCode(
        code=found.code,
        description=found.description,
        coding_system=terminology.system,
        score=score,
        valid=found.valid,
        effective_date=found.effective_date,
        hierarchy=found.hierarchy,
    )
