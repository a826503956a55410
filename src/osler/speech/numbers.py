"""Writes heard numbers and units the way a clinician does: "one forty five over ninety two" becomes "145/92".

The rule above all: a value is never changed. What can be meant in two ways stays as heard.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from osler.speech.model import HeardWord, Word
from osler.speech.number_grammar import (
    CODES,
    CUES,
    MAGNITUDES,
    MONTHS,
    NUMBER_WORDS,
    ORDINAL_DIGITS,
    OTHER_ORDINALS,
    TENS,
    Reading,
    Shape,
    next_run,
    read,
    symbol,
)
from osler.speech.units import Unit, UnitKind, unit_at

_EDGES = re.compile(r"^([^\w%°]*)(.*?)([^\w%°]*)$", re.DOTALL)
_GLUED = re.compile(r"(\d+(?:\.\d+)?)([a-z]+)")
_GOES_ON = re.compile(r"-\w|[.:/]\d|,\d{3}|['’](?:s|t|d|m|re|ve|ll|all|clock)\b|\.[a-z]")
"""Begins a token that engines split off the word before it: "98" ".4", "58" "-year" "-old", "y" "'all"."""


@dataclass(frozen=True, slots=True)
class _Atom:
    """A word, or one part of a hyphenated number word: lower case and as written, index of its word."""

    low: str
    raw: str
    word: int


@dataclass(slots=True)
class _Edit:
    """Atoms ``start:end`` become ``text``; ``reading`` is set where they are one number."""

    start: int
    end: int
    text: str
    reading: Reading | None = None


def write_clinically(words: Sequence[HeardWord]) -> tuple[Word, ...]:
    """Return the written words: the text of a turn is ``" ".join(word.text)``, and each offset is into that text.

    No heard word is lost: ``" ".join(word.heard)`` is the input. A written word made of several heard ones has their
    earliest start, latest end and lowest probability.
    """
    tokens = _tokens(words)
    pieces: list[tuple[int, int, str]] = []
    start = 0
    for i, token in enumerate(tokens):
        if i + 1 == len(tokens) or _EDGES.match(token.text)[3]:  # type: ignore[index]  # the pattern always matches
            pieces += _write_segment(tokens, start, i + 1)
            start = i + 1
    written: list[Word] = []
    offset = 0
    for first, end, text in pieces:
        written.append(
            Word(
                text=text,
                heard=" ".join(token.heard for token in tokens[first:end]),
                start=min(token.start for token in tokens[first:end]),
                end=max(token.end for token in tokens[first:end]),
                probability=min(token.probability for token in tokens[first:end]),
                offset=offset,
            )
        )
        offset += len(text) + 1
    return tuple(written)


def _tokens(words: Sequence[HeardWord]) -> list[Word]:
    """Put together what an engine split inside a word; offsets are not set yet."""
    tokens: list[Word] = []
    for word in words:
        before = tokens[-1] if tokens else None
        if before is not None and _GOES_ON.match(word.text) and before.text[-1:].isalnum():
            tokens[-1] = Word(
                text=before.text + word.text,
                heard=f"{before.heard} {word.text}",
                start=min(before.start, word.start),
                end=max(before.end, word.end),
                probability=min(before.probability, word.probability),
                offset=0,
            )
        else:
            tokens.append(Word(word.text, word.text, word.start, word.end, word.probability, 0))
    return tokens


def _write_segment(words: Sequence[Word], start: int, end: int) -> list[tuple[int, int, str]]:
    """Write the words between two punctuation marks; return (first word, end word, text) for all of them."""
    atoms: list[_Atom] = []
    for i in range(start, end):
        core = _EDGES.match(words[i].text)[2]  # type: ignore[index]
        parts = core.split("-")
        if len(parts) > 1 and all(part.lower() in NUMBER_WORDS or part.lower() == "and" for part in parts):
            atoms += [_Atom(part.lower(), part, i) for part in parts]
        else:
            atoms.append(_Atom(core.lower(), core, i))
    edits = _Segment(atoms).edits()
    pieces: list[tuple[int, int, str]] = []
    at = start
    for edit in sorted(edits, key=lambda e: e.start):
        first, last = atoms[edit.start].word, atoms[edit.end - 1].word
        if first < at or _cuts_a_word(atoms, edit):
            continue
        pieces += [(i, i + 1, words[i].text) for i in range(at, first)]
        lead = _EDGES.match(words[first].text)[1]  # type: ignore[index]
        trail = _EDGES.match(words[last].text)[3]  # type: ignore[index]
        pieces.append((first, last + 1, f"{lead}{edit.text}{trail}"))
        at = last + 1
    return pieces + [(i, i + 1, words[i].text) for i in range(at, end)]


def _cuts_a_word(atoms: Sequence[_Atom], edit: _Edit) -> bool:
    before, after = edit.start - 1, edit.end
    return (before >= 0 and atoms[before].word == atoms[edit.start].word) or (
        after < len(atoms) and atoms[after].word == atoms[edit.end - 1].word
    )


class _Segment:
    """Words without punctuation between them: the reach of every rule here."""

    def __init__(self, atoms: Sequence[_Atom]) -> None:
        self.atoms = atoms
        self.low = [atom.low for atom in atoms]
        self.symbols = "".join(symbol(atom.low) for atom in atoms)

    def edits(self) -> list[_Edit]:
        """Return the rewrites, not overlapping."""
        numbers = self._numbers()
        found: list[_Edit] = []
        taken = 0
        for i, number in enumerate(numbers):
            if number.start < taken:
                continue
            following = numbers[i + 1] if i + 1 < len(numbers) else None
            ratio = self._ratio(number, following)
            if ratio is not None:
                found += [ratio, *self._unit_after(ratio)]
                taken = found[-1].end
                continue
            spread = self._spread_multiplier(number, following)
            if spread and following is not None:  # "two to three hundred": both stay as heard
                taken = following.end
                continue
            found += self._with_unit(number, following)
            taken = max(taken, found[-1].end) if found else taken
        found += self._codes(found) + self._compounds()
        return self._joined_levels(found)

    def _numbers(self) -> list[_Edit]:
        """Read every run of number words that can be read; colloquial and other doubtful shapes are settled here."""
        found: list[_Edit] = []
        at = 0
        while span := next_run(self.symbols, at):
            at = span[1]
            found += self._read_run(*span)
        return found

    def _read_run(self, start: int, end: int) -> list[_Edit]:
        reading = read(self.low[start:end], self.symbols[start:end])
        if reading is None:
            return self._read_parts(start, end)
        if not self._is_meant(reading, start, end):
            return []
        return [_Edit(start, end, reading.text, reading)]

    def _read_parts(self, start: int, end: int) -> list[_Edit]:
        """Read "a hundred and a hundred and twenty" as two numbers, and "over eighty ninety eight" as 80 and 98."""
        for cut in range(start + 1, end - 1):
            if self.symbols[cut] == "&":
                left, right = self._plain(start, cut), self._plain(cut + 1, end)
                if left and right:
                    return [left, right]
        if start and self.low[start - 1] == "over":
            for cut in range(end - 1, start, -1):
                left = self._plain(start, cut)
                if left and left.reading and 20 <= left.reading.value <= 180 and self.symbols[cut] in "yt":
                    return [left, *self._read_run(cut, end)]
        return []

    def _plain(self, start: int, end: int) -> _Edit | None:
        reading = read(self.low[start:end], self.symbols[start:end])
        return _Edit(start, end, reading.text, reading) if reading and reading.shape is Shape.CARDINAL else None

    def _is_meant(self, reading: Reading, start: int, end: int) -> bool:
        """Say whether the words around a reading leave no other meaning."""
        before = self.low[start - 1] if start else ""
        unit = unit_at(self.low[end:])
        after = self.low[end] if end < len(self.low) else ""
        if self._runs_into_an_ordinal(end) or self._is_cut_off(start):
            return self.symbols[start:end] in ("d", "f")
        match reading.shape:
            case Shape.CARDINAL:
                between = before == "between" and "&" in self.symbols[start:end] and after not in ("and", "to")
                return not between and not self._may_be_pieces(start, end, unit)
            case Shape.DECIMAL:
                return not (before == "at" and self.low[start : start + 2] == ["one", "point"])
            case Shape.BARE_POINT:
                return unit is not None and before not in CUES["before_point"]
            case Shape.YEAR:
                return unit is None and (before in CUES["year"] | MONTHS or before in ORDINAL_DIGITS)
            case Shape.COLLOQUIAL:
                return self._colloquial_is_meant(start, end, before, after, unit)
            case Shape.DIGIT_STRING:
                return True

    def _may_be_pieces(self, start: int, end: int, unit: Unit | None) -> bool:
        """Say whether "thirty five hundred milligram" may be thirty pieces of 500 mg: the unit is singular."""
        adjective = (
            unit is not None and unit.kind is UnitKind.DOSE and self.low[end].endswith(("gram", "gramme", "unit"))
        )
        return adjective and re.match("(?:yu?|t)h", self.symbols[start:end]) is not None

    def _runs_into_an_ordinal(self, end: int) -> bool:
        """Say whether an ordinal follows: "one hundred (and) fifth", "twenty first" are no cardinals."""
        following = self.low[end + 1 : end + 2] if self.low[end : end + 1] == ["and"] else self.low[end : end + 1]
        return bool(following) and (following[0] in ORDINAL_DIGITS or following[0].rstrip("s") in OTHER_ORDINALS)

    def _is_cut_off(self, start: int) -> bool:
        """Say whether this ends a ratio whose upper half cannot be read: "hundred fifty over ninety"."""
        if start < 2 or self.low[start - 1] != "over" or self.symbols[start - 2] not in "uztyhkm":
            return False
        first = start - 2
        while first and self.symbols[first - 1] in "uztyhkmo&":
            first -= 1
        if first and self.symbols[first - 1 : first + 1] in ("ah", "ak", "am"):
            first -= 1
        return read(self.low[first : start - 1], self.symbols[first : start - 1]) is None

    def _colloquial_is_meant(self, start: int, end: int, before: str, after: str, unit: Unit | None) -> bool:
        """ "One forty five" is 145 in a blood pressure, with a measure, or after a word that announces a value."""
        if after == "over" and self._is_diastolic(end + 1):
            return True
        if unit is not None and unit.kind is UnitKind.MEASURE:
            return True
        if unit is not None and unit.kind is UnitKind.DOSE:
            plural = self.low[end].endswith("s")
            return plural and self.low[start] != "one" and before not in CUES["taking"]
        return (
            unit is None
            and before not in CUES["clock"]
            and any(w in CUES["value"] for w in self.low[max(0, start - 5) : start])
        )

    def _is_diastolic(self, start: int) -> bool:
        """Say whether the lower value of a blood pressure begins at ``start``."""
        span = next_run(self.symbols, start)
        lower = self._read_run(*span) if span and span[0] == start else []
        if not lower or lower[0].reading is None:
            return False
        unit = unit_at(self.low[lower[0].end :])
        return 20 <= lower[0].reading.value <= 200 and (unit is None or unit.written == "mmHg")

    def _ratio(self, number: _Edit, following: _Edit | None) -> _Edit | None:
        """Join "145 over 92", "five over five" and "20 over 40" where they are a pressure, a strength or an acuity."""
        if following is None or self.low[number.end : following.start] != ["over"]:
            return None
        if number.reading is None or following.reading is None:
            return None
        upper, lower = number.reading.value, following.reading.value
        if upper != int(upper) or lower != int(lower):
            return None
        unit = unit_at(self.low[following.end :])
        if unit is not None and unit.written != "mmHg":
            return None
        after = self.low[following.end] if following.end < len(self.low) else ""
        pressure = 50 <= upper <= 300 and 20 <= lower <= 200 and lower < upper
        strength = upper <= lower == 5
        murmur = upper <= lower == 6 and after in CUES["murmur"]
        acuity = upper == 20 and lower in CODES["acuity"]
        if pressure or strength or murmur or acuity:
            return _Edit(number.start, following.end, f"{number.text}/{following.text}")
        return None

    def _spread_multiplier(self, number: _Edit, following: _Edit | None) -> bool:
        """Say whether the next number's "hundred" or "thousand" may belong to this one: "two to three hundred"."""
        if following is None or not self._is_range(number, following):
            return False
        if number.reading is None or not set(self.low[following.start : following.end]) & set(MAGNITUDES):
            return False
        if set(self.low[number.start : number.end]) & set(MAGNITUDES) or self.low[following.start] == "a":
            return False
        head = next(i for i in range(following.start, following.end) if self.low[i] in MAGNITUDES)
        multiplier = read(self.low[following.start : head], self.symbols[following.start : head])
        return multiplier is None or number.reading.value < multiplier.value

    def _is_range(self, number: _Edit, following: _Edit) -> bool:
        joint = self.low[number.end : following.start]
        between = number.start > 0 and self.low[number.start - 1] == "between" and joint == ["and"]
        return between or (len(joint) == 1 and joint[0] in CUES["range"])

    def _with_unit(self, number: _Edit, following: _Edit | None) -> list[_Edit]:
        """Write one number and the unit after it, or leave a small count and an idle "a hundred" in words."""
        unit = unit_at(self.low[number.end :])
        if not self._is_written(number, unit, following):
            return []
        if unit is not None and unit.written == "%":
            return [_Edit(number.start, number.end + unit.length, f"{number.text}%")]
        return [number, *self._unit_after(number)]

    def _unit_after(self, number: _Edit) -> list[_Edit]:
        unit = unit_at(self.low[number.end :])
        if unit is None or unit.written is None:
            return []
        return [_Edit(number.end, number.end + unit.length, unit.written)]

    def _is_written(self, number: _Edit, unit: Unit | None, following: _Edit | None) -> bool:
        spoken = self.symbols[number.start : number.end]
        if spoken in ("d", "f") or number.reading is None:
            return True
        before = self.low[number.start - 1] if number.start else ""
        counted = self._counts(number, unit, before)
        if spoken in ("ah", "ak", "am"):
            return counted or self._shares_a_unit(number, following)
        if (
            number.reading.shape is not Shape.CARDINAL
            or number.reading.value >= 10
            or counted
            or before in CUES["classified"]
        ):
            return True
        return self._shares_a_unit(number, following) or self._is_range_end(number) or self._is_pain_score(number)

    def _counts(self, number: _Edit, unit: Unit | None, before: str) -> bool:
        """Say whether a unit follows that makes even a small number a quantity ("one day" is a phrase, no quantity)."""
        if unit is None or number.reading is None:
            return False
        if number.reading.value == 1:
            return unit.kind is not UnitKind.TIME and before not in CUES["before_pronoun_one"]
        return True

    def _shares_a_unit(self, number: _Edit, following: _Edit | None) -> bool:
        """Say whether this is the lower end of a range that is written: "five to seven days", "nine or ten"."""
        if following is None or not self._is_range(number, following):
            return False
        return self._is_written(following, unit_at(self.low[following.end :]), None)

    def _is_range_end(self, number: _Edit) -> bool:
        """Say whether this is the upper end of a range whose lower end stands in digits: "10 to five"."""
        return (
            number.start >= 2 and self.low[number.start - 1] in CUES["range"] and self.symbols[number.start - 2] in "df"
        )

    def _is_pain_score(self, number: _Edit) -> bool:
        return self.low[number.end : number.end + 3] in (["out", "of", "ten"], ["out", "of", "10"])

    def _codes(self, edits: Sequence[_Edit]) -> list[_Edit]:
        """Write vertebrae ("L four"), vitamins ("B twelve"), "A one c" and ordinals ("twenty first")."""
        taken = {i for edit in edits for i in range(edit.start, edit.end)}
        found: list[_Edit] = []
        for i, atom in enumerate(self.atoms[:-1]):
            following = read([self.low[i + 1]], self.symbols[i + 1]) if self.symbols[i + 1] in "utd" else None
            if atom.low == "a" and self.low[i + 1] in ("one", "1") and self.low[i + 2 : i + 3] == ["c"]:
                found.append(_Edit(i, i + 3, "A1c"))
            elif following is not None and self.symbols[i + 2 : i + 3] not in tuple("uztyhkm"):
                level = 1 <= following.value <= CODES["spine"].get(atom.raw, 0)
                if level or f"{atom.raw}{following.text}" in CODES["vitamins"]:
                    found.append(_Edit(i, i + 2, f"{atom.raw}{following.text}"))
            elif (
                atom.low in TENS
                and self.low[i + 1] in ORDINAL_DIGITS
                and (i == 0 or self.symbols[i - 1] not in "uztyhkm&p")
            ):
                month = i > 0 and self.low[i - 1] in MONTHS
                if self.low[i + 1] != "second" or month:
                    found.append(_Edit(i, i + 2, f"{TENS[atom.low] // 10}{ORDINAL_DIGITS[self.low[i + 1]]}"))
        return [e for e in found if not taken & set(range(e.start, e.end)) or e.text == "A1c" or e.text[0].isalpha()]

    def _compounds(self) -> list[_Edit]:
        """Write "fifty-year-old" as 50-year-old, "five-milligram" as 5-mg and "10mg" as 10 mg."""
        found: list[_Edit] = []
        for i, atom in enumerate(self.atoms):
            if glued := _GLUED.fullmatch(atom.low):
                unit = unit_at([glued[2]])
                if unit is not None and unit.written is not None and unit.kind is UnitKind.DOSE:
                    found.append(_Edit(i, i + 1, f"{glued[1]} {unit.written}"))
            parts = atom.low.split("-")
            for cut in range(1, len(parts)):
                unit = unit_at([parts[cut]])
                head = parts[:cut]
                reading = read(head, "".join(map(symbol, head))) if unit else None
                if unit is None or reading is None or reading.shape is not Shape.CARDINAL:
                    continue
                if reading.value > 1 or parts[cut + 1 :] == ["old"] or unit.kind is UnitKind.DOSE:
                    tail = [unit.written or parts[cut], *parts[cut + 1 :]]
                    found.append(_Edit(i, i + 1, "-".join([reading.text, *tail])))
        return found

    def _joined_levels(self, edits: list[_Edit]) -> list[_Edit]:
        """Join neighbouring vertebrae: "L4 L5" is L4-L5."""
        edits = sorted(edits, key=lambda e: (e.start, -e.end))
        levels = {e.start: e for e in edits if re.fullmatch(r"[CTLS]\d{1,2}", e.text)}
        for i, atom in enumerate(self.atoms):
            if re.fullmatch(r"[CTLS]\d{1,2}", atom.raw) and i not in levels:
                levels[i] = _Edit(i, i + 1, atom.raw)
        joined: list[_Edit] = []
        for start, level in sorted(levels.items()):
            after = levels.get(level.end)
            if after is not None and not any(e.start <= start < e.end for e in joined):
                joined.append(_Edit(start, after.end, f"{level.text}-{after.text}"))
        return [*joined, *(e for e in edits if not any(e.start < j.end and j.start < e.end for j in joined))]
