"""Grounding: does every number, unit, medicine, body side and negation of a sentence occur in the words it cites?

Pure text against text, with the equivalences of ``data/grounding.toml`` and ``data/medications.tsv`` and no others. It
does not judge whether a sentence is a good summary, only that none of these five was invented, changed or moved to
another number, part of the body or polarity.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from osler.notes.medicines import medicine_names
from osler.notes.model import Verdict
from osler.notes.tokens import Number, Token, numbers, singular, tokenize


class Kind(StrEnum):
    """What a sentence may not have that its quotes have not."""

    NUMBER = "number"
    UNIT = "unit"
    FREQUENCY = "frequency"
    MEDICINE = "medicine"
    SIDE = "side"
    NEGATION = "negation"
    CONTRADICTION = "contradiction"


@dataclass(frozen=True, slots=True)
class Ungrounded:
    """Something in a sentence that its quotes do not bear; ``token`` is its canonical form (canonical digits, unit...).

    A CONTRADICTION names the word that the quotes deny and the sentence affirms.
    """

    kind: Kind
    token: str


def verdict(sentence: str, quotes: Sequence[str]) -> Verdict:
    """Return SUPPORTED if :func:`check` finds nothing, CONTRADICTED if the quotes deny it, else UNSUPPORTED."""
    missing = check(sentence, quotes)
    if not missing:
        return Verdict.SUPPORTED
    return Verdict.CONTRADICTED if any(m.kind is Kind.CONTRADICTION for m in missing) else Verdict.UNSUPPORTED


def check(sentence: str, quotes: Sequence[str]) -> list[Ungrounded]:
    """Return what ``sentence`` holds that no quote bears, in the order of :class:`Kind`; empty means grounded.

    ``quotes`` are the cited words in the order of the visit; a denied answer ("no") licenses the negation of what the
    quotes around it name.
    """
    said = _Quotes([_facts(quote) for quote in quotes])
    facts = _facts(sentence)
    return [
        *_missing_numbers(facts, said),
        *_missing_units(facts, said),
        *(Ungrounded(Kind.FREQUENCY, f) for f in facts.frequencies if f not in said.frequencies),
        *(Ungrounded(Kind.MEDICINE, m) for m in facts.medicines if m not in said.medicines),
        *_missing_sides(facts, said),
        *_missing_negations(facts, said),
    ]


def units_in(tokens: Sequence[Token], *, time_only: bool = False) -> list[tuple[int, int, str]]:
    """Return the units in ``tokens`` as (start, end, canonical unit); with ``time_only``, days, weeks and the like."""
    tables = _tables()
    found = _phrases(tokens, tables.units)
    return [unit for unit in found if unit[2] in tables.time_units] if time_only else found


def frequencies_in(tokens: Sequence[Token]) -> list[tuple[int, int, str]]:
    """Return how often something is taken as (start, end, canonical frequency): "twice a day" is "twice daily"."""
    return _phrases(tokens, _tables().frequencies)


@dataclass(slots=True)
class _Facts:
    """What one text holds; dicts serve as ordered sets."""

    tokens: list[Token]
    numbers: list[Number] = field(default_factory=list)
    number_units: dict[tuple[str, str], None] = field(default_factory=dict)
    units: dict[str, None] = field(default_factory=dict)
    frequencies: dict[str, None] = field(default_factory=dict)
    medicines: dict[str, None] = field(default_factory=dict)
    sides: dict[tuple[str, str], None] = field(default_factory=dict)
    coded: dict[str, None] = field(default_factory=dict)


class _Quotes:
    """The facts of all quotes of a sentence together."""

    def __init__(self, quotes: Sequence[_Facts]) -> None:
        tables = _tables()
        self.quotes = quotes
        self.values = {
            value for facts in quotes for number in facts.numbers for reading in number.readings for value in reading
        }
        self.number_units = {pair for facts in quotes for pair in facts.number_units}
        self.units = {unit for facts in quotes for unit in facts.units}
        self.frequencies = {f for facts in quotes for f in facts.frequencies}
        for longer, implied in tables.frequency_implies.items():
            if longer in self.frequencies:
                self.frequencies.update(implied)
        self.medicines = {m for facts in quotes for m in facts.medicines}
        self.coded = {code for facts in quotes for code in facts.coded}
        self.sides = {pair for facts in quotes for pair in facts.sides}
        for facts in quotes:
            if len(facts.tokens) <= _BARE_ANSWER:
                self.sides.update((t.norm, "") for t in facts.tokens if t.norm in ("left", "right"))
        bare = {side for side, _ in self.sides}
        if all(side in bare for side in tables.bilateral_from):
            self.sides.update(("bilateral", part) for side, part in tuple(self.sides))


_BARE_ANSWER = 4
"""Tokens: a quote this short is an answer whose words stand alone ("right", "the left one")."""


def _facts(text: str) -> _Facts:
    tokens = tokenize(text)
    facts = _Facts(tokens)
    used: set[int] = set()
    for start, end, frequency in _phrases(tokens, _tables().frequencies):
        facts.frequencies[frequency] = None
        used.update(range(start, end))
    found = numbers(tokens)
    facts.numbers = [number for number in found if not used.issuperset(range(number.start, number.end))]
    for start, end, medicine in _phrases(tokens, _medicines()):
        facts.medicines[medicine] = None
        # The figures of a name ("vitamin b 12") belong to it.
        facts.numbers = [n for n in facts.numbers if not (start <= n.start and n.end <= end)]
        used.update(range(start, end))
    _read_units(facts, found)
    _read_words(facts, used)
    _read_sides(facts)
    return facts


def _read_units(facts: _Facts, found: Sequence[Number]) -> None:
    tables, tokens = _tables(), facts.tokens
    quantities = {number.end: number for number in found}
    for start, _, unit in _phrases(tokens, tables.units):
        number = quantities.get(start) or (
            quantities.get(start - 1) if start and tokens[start - 1].norm in ("-", "+", "more", "full") else None
        )
        if number is None and start and tokens[start - 1].norm in tables.articles:
            number = Number(((tables.article_value,),), start - 1, start)
            if unit not in tables.time_units:
                number = None
            else:
                facts.number_units[(tables.article_value, unit)] = None
                continue
        if number is None:
            if unit in tables.units_alone:
                facts.units[unit] = None
            continue
        facts.units[unit] = None
        for value in (value for reading in number.readings for value in reading):
            facts.number_units[(value, unit)] = None
    for number in found:
        following = tokens[number.end].norm if number.end < len(tokens) else ""
        if following in tables.letter_units and tokens[number.end].start - tokens[number.end - 1].end <= 1:
            unit = tables.letter_units[following]
            facts.units[unit] = None
            for value in (value for reading in number.readings for value in reading):
                facts.number_units[(value, unit)] = None


def _read_words(facts: _Facts, used: set[int]) -> None:
    tables = _tables()
    for i, token in enumerate(facts.tokens):
        word = token.norm
        if i in used:
            continue
        if not word.isalpha() and word[0].isalpha() and any(map(str.isdigit, word)):
            facts.coded[word] = None
        elif word.endswith(tables.endings) and len(word) > 5 and word not in tables.not_medicines:
            facts.medicines[singular(word)] = None


def _read_sides(facts: _Facts) -> None:
    tables, tokens = _tables(), facts.tokens
    words = [token.norm for token in tokens]
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        after = words[i + 1] if i + 1 < len(words) else ""
        if word == "both":
            part = _part_after(words, i, tables.both_within)
            if part:
                facts.sides[("bilateral", part)] = None
            continue
        side = tables.sides.get(word)
        if side is None and word in ("either", "each", "both") and after in ("side", "sides"):
            side = "bilateral"
        if side is None or before in tables.not_before.get(side, ()) or after in tables.not_after.get(side, ()):
            continue
        part = _part_after(words, i, tables.part_within)
        if part or side == "bilateral" or before in tables.before_side:
            facts.sides[(side, part)] = None


def _part_after(words: Sequence[str], i: int, within: int) -> str:
    """Return the last of the first run of body words after ``i`` ("upper extremity" → "extremity"), or ""."""
    parts = _tables().parts
    for j in range(i + 1, min(len(words), i + 1 + within)):
        if words[j] in (",", ".", "?", ";"):
            return ""
        if words[j] in parts or singular(words[j]) in parts:
            while j + 1 < len(words) and (words[j + 1] in parts or singular(words[j + 1]) in parts):
                j += 1
            return singular(words[j])
    return ""


def _missing_numbers(facts: _Facts, said: _Quotes) -> Iterable[Ungrounded]:
    tables = _tables()
    for number in facts.numbers:
        if any(all(value in said.values for value in reading) for reading in number.readings):
            continue
        following = facts.tokens[number.end].norm if number.end < len(facts.tokens) else ""
        units = [unit for value, unit in facts.number_units if value == number.value]
        if number.value == tables.article_value and any((number.value, unit) in said.number_units for unit in units):
            continue  # "1 week" of a quote that says "a week"
        if following and any(code.endswith(number.value) for code in said.coded):
            continue  # "L 5" of a quote that says "L5"
        yield Ungrounded(Kind.NUMBER, number.value)
    for code in facts.coded:
        digits = "".join(filter(str.isdigit, code))
        if code not in said.coded and digits not in said.values:
            yield Ungrounded(Kind.NUMBER, code)


def _missing_units(facts: _Facts, said: _Quotes) -> Iterable[Ungrounded]:
    for unit in facts.units:
        if unit not in said.units and not any(u == unit for _, u in said.number_units):
            yield Ungrounded(Kind.UNIT, unit)
    for value, unit in facts.number_units:
        other = {u for v, u in said.number_units if v == value}
        if unit in said.units and other and unit not in other:
            yield Ungrounded(Kind.UNIT, f"{value} {unit}")


def _missing_sides(facts: _Facts, said: _Quotes) -> Iterable[Ungrounded]:
    available = {side for side, _ in said.sides}
    for side, part in facts.sides:
        if side not in available:
            yield Ungrounded(Kind.SIDE, side)
        elif part and (side, part) not in said.sides:
            others = {s for s, p in said.sides if p == part}
            if others and (side, "") not in said.sides:
                yield Ungrounded(Kind.SIDE, f"{side} {part}")


def _missing_negations(facts: _Facts, said: _Quotes) -> Iterable[Ungrounded]:
    tables = _tables()
    written = [t.norm for t in facts.tokens if t.norm in tables.written_negation]
    denials = [_Denials(quote.tokens) for quote in said.quotes]
    if written:
        if not any(d.negated for d in denials):
            yield Ungrounded(Kind.NEGATION, written[0])
            return
        answered = any(d.is_answer for d in denials)
        named = {word for d in denials for word in d.words}
        deniable = {w for d in denials for w in (d.words if answered and d.may_be_answered else d.denied)}
        for word in _listed_denials(facts.tokens):
            if word in named and word not in deniable:
                yield Ungrounded(Kind.NEGATION, word)
        return
    content = _content(facts.tokens)
    if any(t.norm in tables.polar for t in facts.tokens):
        return
    directly = {word for d in denials for word in d.directly}
    affirmed = {word for d in denials for word in d.affirmed}
    for word in content:
        if word in directly and word not in affirmed:
            yield Ungrounded(Kind.CONTRADICTION, word)
            return
    bare = [d for d in denials if d.is_bare]
    rest = [d for d in denials if not d.is_bare]
    if bare and rest and content and all(d.may_be_answered for d in rest):
        yield Ungrounded(Kind.CONTRADICTION, content[0])


class _Denials:
    """Which words a quote denies: clause by clause, in the manner of NegEx (Chapman et al. 2001)."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        tables = _tables()
        words = [token.norm for token in tokens]
        cues = {i for i, word in enumerate(words) if word in tables.said_negation}
        for start, end, _ in _phrases(tokens, tables.said_phrases):
            cues.update(range(start, end))
        spoken = [i for i, token in enumerate(tokens) if token.is_word]
        self.negated = bool(cues)
        self.words = set(_content(tokens))
        self.is_answer = bool(spoken) and (words[spoken[0]] in tables.answers or spoken[0] in cues)
        self.is_bare = self.is_answer and not self.words
        self.may_be_answered = "?" in words or (not cues and len(spoken) <= _SHORT_MENTION)
        self.denied: set[str] = set()
        self.directly: dict[str, None] = {}
        self.affirmed: set[str] = set()
        start = 0
        for i in range(len(words) + 1):
            if i < len(words) and words[i] not in tables.clause_ends:
                continue
            clause = tokens[start:i]
            inside = sorted(cue for cue in cues if start <= cue < i)
            if inside:
                self.denied.update(_content(clause))
            direct: set[str] = set()
            for cue in inside:
                j = cue + 1
                while j < i and (words[j] in tables.between or words[j] in tables.said_negation):
                    j += 1
                if j < i and tokens[j].is_word and (word := singular(words[j])) not in tables.stop:
                    direct.add(word)
                    self.directly[word] = None
            self.affirmed.update(word for word in _content(clause) if word not in direct)
            start = i + 1


def _listed_denials(tokens: Sequence[Token]) -> list[str]:
    """Return the content words that a written sentence denies: the whole list after "denies", "no", "without"."""
    tables = _tables()
    denied: list[str] = []
    inside = False
    for token in tokens:
        if token.norm in tables.list_negation:
            inside = True
        elif token.norm in tables.list_ends:
            inside = False
        elif inside:
            denied += _content((token,))
    return denied


_SHORT_MENTION = 6
"""Words: a quote this short is the mention of a thing rather than a statement of its own."""


def _content(tokens: Sequence[Token]) -> list[str]:
    stop = _tables().stop
    return [w for t in tokens if t.norm[0].isalpha() and len(t.norm) > 2 and (w := singular(t.norm)) not in stop]


_Phrases = Mapping[str, tuple[tuple[tuple[str, ...], str], ...]]
"""First word → the phrases that start with it, longest first, each with its canonical form."""


def _phrases(tokens: Sequence[Token], table: _Phrases) -> list[tuple[int, int, str]]:
    """Find the longest phrases of ``table`` in ``tokens``: (start, end, canonical), in order and disjoint."""
    found = []
    i, count = 0, len(tokens)
    while i < count:
        step = 1
        if tokens[i].norm in table:
            for phrase, meaning in table[tokens[i].norm]:
                length = len(phrase)
                if i + length <= count and all(tokens[i + k].norm == phrase[k] for k in range(1, length)):
                    found.append((i, i + length, meaning))
                    step = length
                    break
        i += step
    return found


def _index(rows: Iterable[tuple[str, str]]) -> _Phrases:
    table: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for surface, meaning in rows:
        phrase = tuple(token.norm for token in tokenize(surface))
        table.setdefault(phrase[0], []).append((phrase, meaning))
    return {first: tuple(sorted(found, key=lambda row: -len(row[0]))) for first, found in table.items()}


@cache
def _medicines() -> _Phrases:
    return _index(medicine_names().items())


@dataclass(frozen=True, slots=True)
class _Tables:
    units: _Phrases
    units_alone: frozenset[str]
    time_units: frozenset[str]
    letter_units: Mapping[str, str]
    frequencies: _Phrases
    frequency_implies: Mapping[str, list[str]]
    articles: frozenset[str]
    article_value: str
    sides: Mapping[str, str]
    both_within: int
    bilateral_from: tuple[str, ...]
    before_side: frozenset[str]
    not_before: Mapping[str, frozenset[str]]
    not_after: Mapping[str, frozenset[str]]
    parts: frozenset[str]
    part_within: int
    written_negation: frozenset[str]
    said_negation: frozenset[str]
    said_phrases: _Phrases
    answers: frozenset[str]
    clause_ends: frozenset[str]
    list_negation: frozenset[str]
    list_ends: frozenset[str]
    between: frozenset[str]
    polar: frozenset[str]
    stop: frozenset[str]
    endings: tuple[str, ...]
    not_medicines: frozenset[str]


def _rows(section: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    return [(surface, canonical) for canonical, surfaces in section.items() for surface in surfaces]


@cache
def _tables() -> _Tables:
    text = files("osler.notes").joinpath("data", "grounding.toml").read_text("utf-8")
    data: dict[str, Any] = tomllib.loads(text)
    sides, negation = data["sides"], data["negation"]
    clause_ends = (".", "?", "!", ";", *negation["terminators"])
    said = frozenset(negation["said"])
    return _Tables(
        units=_index(_rows(data["units"]) + _rows(data["time_units"])),
        units_alone=frozenset(data["units_alone"]),
        time_units=frozenset(data["time_units"]),
        letter_units=dict(_rows(data["letter_units"])),
        frequencies=_index(_rows(data["frequencies"])),
        frequency_implies=data["frequency_implies"],
        articles=frozenset(data["articles"]["words"]),
        article_value=data["articles"]["value"],
        sides={
            surface: side for side in ("left", "right", "bilateral") for surface in sides[side] if " " not in surface
        },
        both_within=sides["both_within"],
        bilateral_from=tuple(sides["bilateral_from"]),
        before_side=frozenset(sides["before_side"]),
        not_before={side: frozenset(rule["before"]) for side, rule in data["not_a_side"].items()},
        not_after={side: frozenset(rule["after"]) for side, rule in data["not_a_side"].items()},
        parts=frozenset(data["parts"]["words"]),
        part_within=data["parts"]["within"],
        written_negation=frozenset(negation["written"]),
        said_negation=said,
        said_phrases=_index((phrase, "no") for phrase in negation["said_phrases"]),
        answers=frozenset(negation["answers"]),
        clause_ends=frozenset(clause_ends),
        list_negation=frozenset(negation["lists"]),
        list_ends=frozenset((*clause_ends, *negation["list_ends"])),
        between=frozenset(negation["between"]),
        polar=frozenset(negation["polar"]),
        stop=frozenset(data["content"]["stop"])
        | said
        | frozenset(negation["written"])
        | frozenset(negation["between"]),
        endings=tuple(data["medicine_endings"]["endings"]),
        not_medicines=frozenset(data["medicine_endings"]["not_medicines"]),
    )
