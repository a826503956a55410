"""A turn read once: its tokens, sentences, and the clinical names in it with their ConText modifiers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from osler.engines.grounded.context import Modifier, context
from osler.engines.grounded.lexicon import (
    FILLERS,
    Match,
    Term,
    body_sites,
    indexed,
    lexicon,
    phrases_in,
    table,
    words_of,
)
from osler.notes.model import FindingKind
from osler.notes.tokens import Token, sentences, singular, tokenize
from osler.speech.model import CLINICIAN, Turn


@dataclass(frozen=True, slots=True)
class Mention:
    """A clinical name in a turn: ``tokens[start:end]`` of it, its meanings, and what modifies it.

    ``site`` is the part of the body that it was put together with ("knee" of "my knee hurts"), or "".
    """

    start: int
    end: int
    terms: tuple[Term, ...]
    sentence: int
    site: str = ""
    modifiers: tuple[Modifier, ...] = ()

    @property
    def term(self) -> Term:
        """Its usual meaning."""
        return self.terms[0]

    def meaning(self, kind: FindingKind) -> Term | None:
        """Return its meaning of that kind, if it has one."""
        return next((term for term in self.terms if term.kind is kind), None)

    def modified(self, category: str) -> bool:
        """Say whether ConText found a modifier of that category."""
        return any(modifier.category == category for modifier in self.modifiers)


@dataclass(slots=True)
class Reading:
    """One turn, read. ``sentences`` are half-open ranges of ``tokens``; ``asks`` says which of them are questions,
    ``confirms`` which are statements that ask to be confirmed ("your knee is swollen, right?").
    """

    index: int
    turn: Turn
    tokens: list[Token]
    words: list[str]
    sentences: list[tuple[int, int]]
    asks: list[bool]
    confirms: frozenset[int] = frozenset()
    mentions: list[Mention] = field(default_factory=list)

    @property
    def by_clinician(self) -> bool:
        """Say whether the clinician speaks."""
        return self.turn.speaker == CLINICIAN

    def of_sentence(self, sentence: int) -> list[Mention]:
        """Return the mentions of one sentence, in order."""
        return [mention for mention in self.mentions if mention.sentence == sentence]

    def text(self, start: int, end: int) -> str:
        """Return the words ``tokens[start:end]`` as they stand in the turn."""
        return self.turn.text[self.tokens[start].start : self.tokens[end - 1].end]


def read(index: int, turn: Turn) -> Reading:
    """Read one turn of a transcript."""
    tokens = tokenize(turn.text)
    words = [token.norm for token in tokens]
    spans = _split_answers(words, _split_unmarked(words, sentences(turn.text, tokens)))
    asks = [_asks(words[s:e]) for s, e in spans]
    confirms = frozenset(i for i, (s, e) in enumerate(spans) if not asks[i] and _tag(words[s:e]) in _confirming())
    reading = Reading(index, turn, tokens, words, spans, asks, confirms)
    _find_mentions(reading)
    if reading.mentions:
        _ask_by_name(reading)
        _apply_context(reading)
    return reading


def _split_unmarked(words: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Part the endless sentences of speech that was written without marks where a speaker starts anew."""
    questions = table("questions")
    markless = not _MARKS.intersection(words)
    longest = questions["markless_longest" if markless else "unmarked_longest"]
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if end - start <= longest or words[start:end].count(",") * 12 > end - start:
            found.append((start, end))
            continue
        cut = start
        for s in _unmarked_starts(words[start:end]):
            if start + s - cut >= _SHORTEST:
                found.append((cut, start + s))
                cut = start + s
        found.append((cut, end))
    return found


def _unmarked_starts(words: Sequence[str]) -> list[int]:
    questions = table("questions")
    starts = {s for s, _ in phrases_in(words, _breaks())}
    follows = frozenset(questions["any_follows"])
    for i, word in enumerate(words):
        if (
            word == "any"
            and i
            and words[i - 1] not in follows
            and not {"n't", "no", "not"}.intersection(words[max(0, i - 6) : i])
        ):
            starts.add(i)
    return sorted(starts)


_SHORTEST: Final = 4
"""Tokens of the shortest sentence that is parted from unmarked speech."""

_PARTICLES: Final = frozenset(("no", "nope", "nah", "yes", "yeah", "yep", "yup", "okay", "ok"))


def _split_answers(words: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """End a sentence after a leading "no," or "yeah,": its "no" answers and does not deny what follows."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        while start < end:
            i = start
            while i < end and (words[i] in FILLERS or words[i] in _LEADS):
                i += 1
            if i + 1 < end and words[i] in _PARTICLES and (words[i + 1] == "," or words[i + 1] in _AFRESH):
                cut = i + 1 + (words[i + 1] == ",")
                found.append((start, cut))
                start = cut
            else:
                break
        if start < end:
            found.append((start, end))
    return found


_AFRESH: Final = frozenset(
    ("i", "it", "he", "she", "they", "we", "that", "just", "my", "there", "um", "uh", "not", "the")
)
"""Words that start a clause of their own after an answer without a comma: "no i've gained some weight"."""

_LEADS: Final = frozenset(("oh", "well", "so", "and", ",", "...", "-"))


_MARKS: Final = frozenset((".", "?", "!", ",", "...", ";"))
_STOPS: Final = frozenset((".", "!", ",", "..."))
_BARE_TAGS: Final = frozenset(("okay", "ok", "alright", "right"))
_LONGEST_ECHO: Final = 4


@cache
def _breaks() -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("questions")["unmarked_breaks"])


@cache
def _question_starts() -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("questions")["question_starts"])


@cache
def _not_question_starts() -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("questions")["not_question_starts"])


@cache
def _tags() -> frozenset[str]:
    return frozenset(table("questions")["tags"])


@cache
def _confirming() -> frozenset[str]:
    return frozenset(table("questions")["confirming_tags"])


@cache
def _openers() -> frozenset[str]:
    return frozenset(table("questions")["openers"])


def _asks(words: Sequence[str]) -> bool:
    """Say whether a sentence asks: by its mark, unless that belongs to a tag ("..., okay?"), or by its first words."""
    start = 0
    while start < len(words) and words[start] in _openers():
        start += 1
    body = words[start:]
    starts = _starts_question(body)
    if words and words[-1] == "?":
        return starts or _tag(words) not in _tags()
    if words and words[-1] not in _STOPS:
        return starts
    return starts and body[0] in ("any", "have", "do", "did", "are", "is", "does", "has", "had", "were")


def _starts_question(body: Sequence[str]) -> bool:
    return _begins(body, _question_starts()) and not _begins(body, _not_question_starts())


def _begins(body: Sequence[str], phrases: Mapping[str, Sequence[tuple[str, ...]]]) -> bool:
    return bool(body) and any(tuple(body[: len(phrase)]) == phrase for phrase in phrases.get(body[0], ()))


def _ask_by_name(reading: Reading) -> None:
    """Take a clinician's turn of nothing but names for a question after them."""
    named = {i for mention in reading.mentions for i in range(mention.start, mention.end)}
    bare = frozenset(table("questions")["bare_words"])
    if reading.by_clinician and all(i in named or word in bare for i, word in enumerate(reading.words)):
        for mention in reading.mentions:
            reading.asks[mention.sentence] = True


def _tag(words: Sequence[str]) -> str:
    """Return what follows the last comma of a sentence with a question mark ("okay", "is that right"), or ""."""
    if not words or words[-1] != "?":
        return ""
    if len(words) > _LONGEST_ECHO and words[-2] in _BARE_TAGS:
        return words[-2]
    if "," not in words:
        return ""
    cut = max(i for i, word in enumerate(words) if word == ",")
    return " ".join(words[cut + 1 : -1])


def _find_mentions(reading: Reading) -> None:
    words = words_of(reading.tokens)
    matches = lexicon().find(words)
    sites = body_sites().find(words)
    sentence_of = [0] * len(reading.tokens)
    for number, (start, end) in enumerate(reading.sentences):
        sentence_of[start:end] = [number] * (end - start)
    claimed: set[int] = set()
    for number in range(len(reading.sentences)):
        inside = [m for m in matches if sentence_of[m.start] == number]
        local = [s for s in sites if sentence_of[s.start] == number]
        reading.mentions += _with_sites(reading.words, inside, local, number, claimed)
    reading.mentions.sort(key=lambda mention: (mention.start, mention.end))


def _with_sites(
    words: Sequence[str], matches: Sequence[Match], sites: Sequence[Match], sentence: int, claimed: set[int]
) -> list[Mention]:
    """Join symptoms that need a part of the body with the part they stand by."""
    rules = _sited()
    found = []
    for match in matches:
        head = rules.heads.get(" ".join(words[match.start : match.end])) if _is_head(match) else None
        joined = _joined(words, match, sites) if head else None
        if head and joined:
            part, start, end = joined
            concept = rules.aliases.get(f"{part} {head}", f"{part} {head}")
            kinds = {term.kind: replace(term, concept=concept) for term in match.terms}
            found.append(Mention(start, end, tuple(kinds.values()), sentence, part))
        else:
            found.append(Mention(match.start, match.end, match.terms, sentence))
        claimed.update(range(match.start, match.end))
    for site in sites:
        verb = _verb_after(words, site)
        if verb is None or claimed.intersection(range(site.start, verb[1])):
            continue
        name = site.terms[0].concept
        concept = rules.aliases.get(f"{name} {verb[0]}", f"{name} {verb[0]}")
        found.append(Mention(site.start, verb[1], (Term(FindingKind.SYMPTOM, concept),), sentence, name))
        claimed.update(range(site.start, verb[1]))
    return _disjoint(found)


def _is_head(match: Match) -> bool:
    return match.end - match.start <= 2 and match.terms[0].kind in (
        FindingKind.SYMPTOM,
        FindingKind.PROBLEM,
        FindingKind.EXAM,
    )


def _joined(words: Sequence[str], match: Match, sites: Sequence[Match]) -> tuple[str, int, int] | None:
    """Return (site, start, end) of a symptom with its part of the body, before it or after it."""
    rules = _sited()
    for site in sites:
        if site.start >= match.end:
            between = words[match.end : site.start]
            adjective = " ".join(words[match.start : match.end]) in rules.adjectives
            if adjective and all(word in _SIDES for word in between):
                return site.terms[0].concept, match.start, site.end
            if len(between) <= 6 and between and between[0] in rules.links and all(w in rules.fill for w in between):
                return site.terms[0].concept, match.start, site.end
        elif site.end <= match.start:
            between = words[site.end : match.start]
            if len(between) <= 4 and all(w in rules.verbs_between or w in FILLERS or w == "-" for w in between):
                return site.terms[0].concept, site.start, match.end
    return None


_SIDES: Final = frozenset(("left", "right", "both", "big", "lower", "upper"))
"""Words between "swollen" and "knee"."""


def _verb_after(words: Sequence[str], site: Match) -> tuple[str, int] | None:
    rules = _sited()
    i = site.end
    while i < len(words) and i - site.end <= 4 and (words[i] in rules.verbs_between or words[i] in FILLERS):
        for verb, concept in rules.verbs.items():
            if tuple(words[i : i + len(verb)]) == verb:
                return concept, i + len(verb)
        i += 1
    for verb, concept in rules.verbs.items():
        if tuple(words[i : i + len(verb)]) == verb:
            return concept, i + len(verb)
    return None


def _disjoint(mentions: Sequence[Mention]) -> list[Mention]:
    """Drop mentions that lie within another's words."""
    kept: list[Mention] = []
    for mention in sorted(mentions, key=lambda m: (m.start - m.end, m.start)):
        if all(mention.end <= other.start or other.end <= mention.start for other in kept):
            kept.append(mention)
    return kept


@dataclass(frozen=True, slots=True)
class _Sited:
    heads: dict[str, str]
    adjectives: frozenset[str]
    verbs: dict[tuple[str, ...], str]
    links: frozenset[str]
    fill: frozenset[str]
    verbs_between: frozenset[str]
    aliases: dict[str, str]


@cache
def _sited() -> _Sited:
    data = table("sited")
    links = frozenset(data["links"])
    return _Sited(
        heads={
            surface: concept
            for concept, surfaces in data["heads"].items()
            for word in surfaces
            for surface in {word, singular(word), word + "s"}
        },
        adjectives=frozenset(data["adjectives"]),
        verbs={tuple(verb.split()): concept for concept, verbs in data["verbs"].items() for verb in verbs},
        links=links,
        fill=links | frozenset(data["between"]),
        verbs_between=frozenset(data["verbs_between"]),
        aliases=data["aliases"],
    )


def _apply_context(reading: Reading) -> None:
    targets = [(m.start, m.end, m.term.kind.value.upper()) for m in reading.mentions]
    found = context().modifiers(reading.tokens, [start for start, _ in reading.sentences], targets)
    reading.mentions = [
        replace(mention, modifiers=tuple(modifiers)) for mention, modifiers in zip(reading.mentions, found, strict=True)
    ]
