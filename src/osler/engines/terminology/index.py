"""A terminology in an index file: look-up, hierarchy and search."""

import json
import re
from collections.abc import Container, Iterator, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from osler.coding.terminology import Code, CodeMatch, Installed, Laterality, Synonym
from osler.engines.terminology.container import Texts, read_arrays
from osler.engines.terminology.excludes import names_code
from osler.engines.terminology.search import Fit, NameSearch, combined
from osler.engines.terminology.words import WEAK, tokens
from osler.engines.terminology.writing import ACTIVE, BILLABLE, FORMAT, SEVENTH, key

_CANDIDATES: Final = 30
"""Names that are taken up for each reading of a question."""
_CLOSELY: Final = 16
"""Names, of all readings, below whose codes the words that are left over are looked for."""
_FROM_BELOW: Final = 0.94
"""Worth of a word found in the description of a code below the one whose name fits, beside one in that name."""
_SIDES: Final = (
    (re.compile(r"\bbilateral\b|\bboth\b", re.I), Laterality.BILATERAL),
    (re.compile(r"\bright\b", re.I), Laterality.RIGHT),
    (re.compile(r"\bleft\b(?! (ventric|heart))", re.I), Laterality.LEFT),
    (re.compile(r"\bunspecified (side|eye|ear|knee|hip|shoulder|elbow|wrist|hand|ankle|foot|limb|arm|leg)", re.I),
     Laterality.UNSPECIFIED),
)  # fmt: skip


class IndexedTerminology:
    """One release, read from an index file of :mod:`osler.engines.terminology.writing`; ``Terminology``."""

    def __init__(self, path: Path) -> None:
        """Read the index. Raises ValueError if it was written in another format."""
        header, arrays = read_arrays(path)
        if header.get("format") != FORMAT:
            raise ValueError("the index was written in another format")
        self._arrays = arrays
        self.about = about(header)
        self.system = self.about.system
        self.version = self.about.version
        self.licence = self.about.licence
        self._notes_reach_down = self.system.startswith("ICD")
        self._codes, self._descriptions, self._extra, self._names = (
            Texts(arrays[label], arrays[f"{label}_offsets"]) for label in ("code", "description", "extra", "name")
        )
        self._sources: list[str] = header["sources"]
        self._extra_of = lru_cache(maxsize=4096)(self._read_extra)
        self._search = NameSearch(arrays, self._sources)
        self._weak = self._search.words_of(" ".join(sorted(WEAK)))
        self._order = np.argsort(arrays["name_code"], kind="stable")
        self._starts = np.searchsorted(arrays["name_code"][self._order], np.arange(len(self._codes) + 1))

    # Look-up

    def find(self, code: str) -> Code | None:
        found = self._at(code)
        return None if found is None else self._code(*found)

    def children(self, code: str) -> tuple[str, ...]:
        found = self._at(code)
        if found is None or found[1]:
            return ()
        at = found[0]
        seventh = self._seventh(at)
        if seventh:
            return tuple(self._extended(at, char) for char in seventh)
        return tuple(self._codes[child] for child in self._row("children", at))

    def ancestors(self, code: str) -> tuple[str, ...]:
        found = self._at(code)
        if found is None:
            return ()
        at, char = found
        above = tuple(self._codes[each] for each in self._above(at))
        return (self._codes[at], *above) if char else above

    def synonyms(self, code: str) -> tuple[Synonym, ...]:
        found = self._at(code)
        if found is None:
            return ()
        at = found[0]
        numbers = self._order[self._starts[at] : self._starts[at + 1]]
        named = [(self._names[int(n)], self._sources[int(self._arrays["name_source"][n])]) for n in numbers]
        return tuple(Synonym(text, source) for text, source in named if source != "description")

    def unspecified(self, code: str) -> str | None:
        found = self._at(code)
        if found is None:
            return None
        at, char = found
        if char:
            return self._extended(at, char)
        default = int(self._arrays["default"][at])
        return None if default < 0 else self._complete(default, frozenset())

    def excludes1(self, code_a: str, code_b: str) -> bool:
        return self._excludes(code_a, code_b) or self._excludes(code_b, code_a)

    def names(self, sources: Container[str]) -> Iterator[tuple[str, str]]:
        """Yield every code with each of its names of these sources, its description first."""
        source_of = self._arrays["name_source"].tolist()
        for number, at in enumerate(self._arrays["name_code"].tolist()):
            if self._sources[source_of[number]] in sources:
                yield self._codes[at], self._names[number]

    # Search

    def search(self, text: str, limit: int = 10, *, billable: bool = True) -> list[CodeMatch]:
        words = frozenset(tokens(text))
        matches: dict[str, CodeMatch] = {}
        for place, fit in enumerate(self._search.best(text, max(_CANDIDATES, limit))):
            if place >= _CLOSELY and len(matches) >= limit:
                break  # from here on each match is as good as its name, and they are in order
            match = self._match(fit, words, billable=billable, closely=place < _CLOSELY)
            if match is not None and (match.code not in matches or matches[match.code].score < match.score):
                matches[match.code] = match
        return sorted(matches.values(), key=lambda match: -match.score)[:limit]

    def _match(self, fit: Fit, words: frozenset[str], *, billable: bool, closely: bool) -> CodeMatch | None:
        at = int(self._arrays["name_code"][fit.name])
        asked = fit.asked
        if billable:
            if self._arrays["default"][at] < 0:
                return None
            if closely and not self._arrays["flags"][at] & BILLABLE:
                left = frozenset(fit.question.known) - self._weak - self._described(at)
                left -= self._search.words_of(self._names[fit.name])
                at, gained = self._descend(at, left)
                asked = min(1.0, asked + _FROM_BELOW * gained / fit.question.weight)
            at = int(self._arrays["default"][at])
        code = self._complete(at, words) if billable else self._codes[at]
        return CodeMatch(code, round(fit.worth * combined(asked, fit.named), 4), self._names[fit.name])

    def _descend(self, at: int, left: frozenset[int]) -> tuple[int, float]:
        """Go down along the words of the question that are left; return where that ends and the words' weight."""
        gained = 0.0
        default = self._arrays["default"]
        while left:
            best, most = -1, 0.0
            for child in self._row("children", at):
                common = self._below(child) & left if default[child] >= 0 else frozenset()
                if common:
                    fewer = 0.01 * len(self._described(child)) - 0.04 * bool(default[child] == default[at])
                    weight = self._search.weight_of(common) - fewer
                    if weight > most:
                        best, most = child, weight
            if best < 0:
                break
            common = self._described(best) & left
            gained += self._search.weight_of(common)
            at, left = best, left - common
        return at, gained

    def _below(self, at: int) -> frozenset[int]:
        """The words of a code's description and of those below it, two levels deep."""
        words = set(self._described(at))
        for child in self._row("children", at):
            words |= self._described(child)
            for grandchild in self._row("children", child):
                words |= self._described(grandchild)
        return frozenset(words)

    # Parts

    def _code(self, at: int, char: str) -> Code:
        extra = self._extra_of(at)
        notes: dict[str, tuple[str, ...]] = {kind: tuple(texts) for kind, texts in extra.get("notes", {}).items()}
        above = self._above(at)
        for each in above if self._notes_reach_down else ():
            for kind, texts in self._extra_of(each).get("notes", {}).items():
                if kind != "inclusion_terms":
                    notes[kind] = (*notes.get(kind, ()), *(text for text in texts if text not in notes.get(kind, ())))
        seventh: Mapping[str, str] = extra.get("seventh", {})
        description = self._descriptions[at]
        if char:
            description = f"{description}, {seventh[char]}"
        flags = int(self._arrays["flags"][at])
        billable = bool(flags & BILLABLE) or bool(char)
        effective, expiry = _date(self._arrays["effective"][at]), _date(self._arrays["expiry"][at])
        effective = effective or self.about.effective_date
        today = date.today()
        in_force = bool(flags & ACTIVE) and not (effective and effective > today) and not (expiry and expiry < today)
        path = [self._codes[each] for each in reversed(above)]
        return Code(
            system=self.system,
            code=self._extended(at, char) if char else self._codes[at],
            description=description,
            valid=billable and in_force,
            billable=billable,
            hierarchy=(*path, self._codes[at]) if char else tuple(path),
            effective_date=effective,
            expiry=expiry,
            seventh_characters=dict(seventh),
            laterality=next((side for pattern, side in _SIDES if pattern.search(description)), None),
            maps_to={system: tuple(codes) for system, codes in extra.get("maps_to", {}).items()},
            **notes,
        )

    def _at(self, code: str) -> tuple[int, str] | None:
        """Where a code stands, and its seventh character if it is made of a base and one."""
        wanted = key(code)
        at = self._exactly(wanted)
        if at is not None:
            return at, ""
        if len(wanted) == 7:
            for base in (wanted[:6], wanted[:6].rstrip("X")):
                at = self._exactly(base)
                if at is not None and wanted[6] in self._seventh(at):
                    return at, wanted[6]
        return None

    def _exactly(self, wanted: str) -> int | None:
        keys, raw = self._arrays["keys"], wanted.encode()
        at = int(np.searchsorted(keys, np.bytes_(raw)))
        return int(self._arrays["by_key"][at]) if at < len(keys) and bytes(keys[at]) == raw else None

    def _extended(self, at: int, char: str) -> str:
        code = self._codes[at]
        return f"{code if '.' in code else code + '.':X<7}{char}"

    def _complete(self, at: int, words: frozenset[str]) -> str:
        """The code itself, or with the seventh character that the words ask for, else that of the first encounter."""
        seventh = self._seventh(at)
        if not seventh:
            return self._codes[at]
        chars = list(seventh)
        usual = next((c for c in ("A", "0") if c in seventh), chars[0])
        common = words - frozenset(tokens(self._descriptions[at]))
        best = max(chars, key=lambda c: (len(common & frozenset(tokens(seventh[c]))), c == usual, -chars.index(c)))
        return self._extended(at, best)

    def _above(self, at: int) -> list[int]:
        above: list[int] = []
        level = self._row("parents", at)
        while level:
            above += [each for each in dict.fromkeys(level) if each not in above]
            level = [parent for each in level for parent in self._row("parents", each) if parent not in above]
        return above

    def _row(self, label: str, at: int) -> list[int]:
        offsets = self._arrays[f"{label}_offsets"]
        row: list[int] = self._arrays[label][offsets[at] : offsets[at + 1]].tolist()
        return row

    def _described(self, at: int) -> frozenset[int]:
        return frozenset(self._row("described", at))

    def _read_extra(self, at: int) -> dict[str, Any]:
        text = self._extra[at]
        return json.loads(text) if text else {}

    def _seventh(self, at: int) -> Mapping[str, str]:
        if not self._arrays["flags"][at] & SEVENTH:
            return {}
        seventh: Mapping[str, str] = self._extra_of(at)["seventh"]
        return seventh

    def _excludes(self, code: str, other: str) -> bool:
        found, of_other = self._at(code), self._at(other)
        if found is None or of_other is None:
            return False
        own = {found[0], *self._above(found[0])}
        if of_other[0] in own or found[0] in self._above(of_other[0]):
            return False
        notes = [text for at in own for text in self._extra_of(at).get("notes", {}).get("excludes1", ())]
        return any(names_code(text, key(other)) for text in notes)


def about(header: Mapping[str, Any]) -> Installed:
    """Return what an index file's header says of its release."""
    day = header["effective_date"]
    return Installed(
        system=header["system"],
        version=header["version"],
        effective_date=date.fromisoformat(day) if day else None,
        licence=header["licence"],
        source=header["source"],
        codes=header["codes"],
    )


def _date(number: int) -> date | None:
    return date(number // 10_000, number // 100 % 100, number % 100) if number else None
