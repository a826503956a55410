"""Writes the index of a release: codes in their order, their names as words, postings from word to name."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from osler.engines.terminology.container import Array, pack, rows, write_arrays
from osler.engines.terminology.release import SOURCES, Entry, Release
from osler.engines.terminology.words import WEAK, canonical, required_and_optional, tokens

FORMAT: Final = 1
"""Number of the form of index files; a reader refuses another one."""

_WEAK_SHARE: Final = 0.15
"""Weight of a word of WEAK beside that of its rarity."""
_WEAK: Final = frozenset(canonical(word) for word in WEAK)
BILLABLE, ACTIVE, SEVENTH = 1, 2, 4
"""Flags of a code; SEVENTH: it needs a seventh character to be billable."""
_LESS_LIKELY: Final = {"ICD-10-CM": "OPQTVWXYZ", "ICD-10": "OPQTVWXYZ", "ICD-9-CM": "EV"}
"""Chapters whose codes are meant less often than others of the same words: pregnancy, birth, poisoning, factors."""
_PRIORS: Final = (
    (re.compile(r"classified elsewhere|due to underlying condition", re.I), 0.8),
    (re.compile(r"^other\b(?!.*unspecified)|other specified", re.I), 0.9),
    (re.compile(r"(?<!not )intractable|\bruptured\b|with foreign body|family history", re.I), 0.93),
    (re.compile(r"\b(?:rheumatic|congenital|hereditary|newborn|neonatal)\b", re.I), 0.95),
)
"""Names of codes that are meant only if the words say so; "not elsewhere classified" is none of them."""


def key(code: str) -> str:
    """Return a code as it is looked up: without dots, hyphens, spaces and case."""
    return re.sub(r"[.\s-]", "", code).upper()


def write_index(release: Release, path: Path, *, compress: bool) -> None:
    """Write the index of a release to ``path``; deflated it takes a quarter of the space, stored it can be mapped."""
    entries = release.entries
    at = {entry.code: number for number, entry in enumerate(entries)}
    parents = [[at[p] for p in entry.parents if p in at] for entry in entries]
    children: list[list[int]] = [[] for _ in entries]
    for number, above in enumerate(parents):
        for parent in above:
            children[parent].append(number)
    keys = np.array([key(entry.code).encode() for entry in entries])
    by_key = np.argsort(keys, kind="stable").astype(np.int32)
    names, name_code, name_source = _names(entries)
    postings = _postings(names)
    number_of = {bytes(word).decode(): number for number, word in enumerate(postings["words"])}
    arrays: dict[str, Array] = {
        "keys": keys[by_key],
        "by_key": by_key,
        "flags": np.array(
            [BILLABLE * e.billable + ACTIVE * e.active + SEVENTH * bool(e.seventh) for e in entries], dtype=np.uint8
        ),
        "effective": np.array([_day(e.effective) for e in entries], dtype=np.int32),
        "expiry": np.array([_day(e.expiry) for e in entries], dtype=np.int32),
        "prior": np.array([_prior(release.system, e) for e in entries], dtype=np.float32),
        "default": np.array(_defaults(entries, children), dtype=np.int32),
        "name_code": np.array(name_code, dtype=np.int32),
        "name_source": np.array(name_source, dtype=np.uint8),
        **postings,
    }
    for label, pair in (
        ("code", pack([e.code for e in entries])),
        ("description", pack([e.description for e in entries])),
        ("extra", pack([_extra(e) for e in entries])),
        ("name", pack(names)),
        ("parents", rows(parents)),
        ("children", rows(children)),
        ("described", rows([sorted({number_of[w] for w in tokens(e.description) if w in number_of}) for e in entries])),
    ):
        arrays[label], arrays[f"{label}_offsets"] = pair
    header = {
        "format": FORMAT,
        "sources": SOURCES,
        "system": release.system,
        "version": release.version,
        "effective_date": release.effective_date.isoformat() if release.effective_date else None,
        "licence": release.licence,
        "source": release.source,
        "codes": sum(e.billable + len(e.seventh) for e in entries if e.active),
    }
    write_arrays(path, header, arrays, compress=compress)


def _names(entries: list[Entry]) -> tuple[list[str], list[int], list[int]]:
    names: list[str] = []
    codes: list[int] = []
    sources: list[int] = []
    for number, entry in enumerate(entries):
        if not entry.active:
            continue
        seen: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
        # The same words may be said by several sources: Osler's choice among codes comes first.
        names_ = sorted(entry.names, key=lambda name: name[1] != "clinical")
        for text, source in ((entry.description, "description"), *names_):
            words = required_and_optional(text)
            if words[0] and words not in seen:
                seen.add(words)
                names.append(text)
                codes.append(number)
                sources.append(SOURCES.index(source))
    return names, codes, sources


def _postings(names: list[str]) -> dict[str, Array]:
    """Postings of required and of optional words, words in order, each with the weight of its rarity."""
    required: dict[str, list[int]] = defaultdict(list)
    optional: dict[str, list[int]] = defaultdict(list)
    total = np.zeros(len(names), dtype=np.float32)
    sets = []
    for number, name in enumerate(names):
        words, extra = required_and_optional(name)
        sets.append(set(words))
        for word in dict.fromkeys(words):
            required[word].append(number)
        for word in extra:
            optional[word].append(number)
    vocabulary = sorted(required.keys() | optional.keys())
    weights = {
        word: (_WEAK_SHARE if word in _WEAK else 1.0)
        * math.log(1 + len(names) / (1 + len(required[word]) + len(optional[word])))
        for word in vocabulary
    }
    for number, words_of_name in enumerate(sets):
        total[number] = sum(weights[word] for word in sorted(words_of_name))
    arrays: dict[str, Array] = {
        "words": np.array([word.encode() for word in vocabulary]),
        "weights": np.array([weights[word] for word in vocabulary], dtype=np.float32),
        "name_weight": total,
    }
    for label, postings in (("required", required), ("optional", optional)):
        arrays[label], arrays[f"{label}_offsets"] = rows([postings[word] for word in vocabulary])
    return arrays


def _extra(entry: Entry) -> str:
    extra: dict[str, Mapping[str, object]] = {}
    if entry.notes:
        extra["notes"] = entry.notes
    if entry.seventh:
        extra["seventh"] = entry.seventh
    if entry.maps_to:
        extra["maps_to"] = entry.maps_to
    return json.dumps(extra, ensure_ascii=False) if extra else ""


def _day(day: date | None) -> int:
    return 0 if day is None else day.year * 10_000 + day.month * 100 + day.day


def _prior(system: str, entry: Entry) -> float:
    """How likely a code is meant beside another one whose name fits as well."""
    prior = entry.likelihood * (0.97 if entry.code[:1] in _LESS_LIKELY.get(system, "") else 1.0)
    description = entry.description.lower().replace("not elsewhere classified", "")
    for pattern, share in _PRIORS:
        if pattern.search(description):
            prior *= share
    return prior


def _defaults(entries: list[Entry], children: list[list[int]]) -> list[int]:
    """For each code the one below it that says no more: itself, one of its words, an unspecified one; -1 if none."""
    default = [-1] * len(entries)
    named: dict[frozenset[str], set[int]] = defaultdict(set)
    for number, entry in enumerate(entries):
        said = [term for term in entry.notes.get("inclusion_terms", ()) if term.endswith("NOS") or "(" in term]
        if "other" not in entry.description.lower():
            said.append(entry.description)
        for text in said:
            named[frozenset(required_and_optional(text)[0])].add(number)
    for number in range(len(entries) - 1, -1, -1):  # children stand after their parents
        entry = entries[number]
        if entry.billable or entry.seventh:
            default[number] = number
            continue
        if re.search(r"[-\s]", entry.code):  # chapters and blocks stand for no code
            continue
        same = named[frozenset(required_and_optional(entry.description)[0])] & _all_below(number, children)
        if same and default[min(same)] >= 0:
            default[number] = default[min(same)]
            continue
        below = [
            child for child in children[number] if child > number and default[child] >= 0 and entries[child].active
        ]
        if below:
            best = max(below, key=lambda child: (_unspecific(entries[child], entry), -child))
            default[number] = default[best]
    return default


def _all_below(number: int, children: list[list[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(children[number])
    while waiting:
        child = waiting.pop()
        if child not in found:
            found.add(child)
            waiting += children[child]
    return found


def _unspecific(entry: Entry, above: Entry) -> float:
    """How well an entry stands for the whole of the one above it."""
    text = entry.description.lower()
    score = 0.0
    if re.search(r"\bunspecified\b(?! complication)|\bnos\b|\bnot specified\b", text):
        score += 4
    if re.search(r"\bwith unspecified complications?\b", text):
        score -= 3
    if re.search(r"\bwithout\b|\buncomplicated\b", text) and "remission" not in text:
        score += 3
    if re.search(r"\bother\b", text) and "unspecified" not in text and "other" not in above.description.lower():
        score -= 4
    if re.search(r"\b(right|left|bilateral|sequela|secondary|personal history|remission|recurrent)\b", text):
        score -= 3
    if re.search(r"\bruptured\b", text):
        score -= 3
    if re.search(r"\bwith\b", text) and not re.search(r"\bwith\b", above.description.lower()):
        score -= 4
    if re.search(r"\bintractable\b", text) and "not intractable" not in text:
        score -= 3
    if entry.code.endswith("9"):
        score += 2
    if any(re.search(r"\bNOS\b", term) for term in entry.notes.get("inclusion_terms", ())):
        score += 1
    extra = set(tokens(entry.description)) - set(tokens(above.description)) - _WEAK
    return score - 0.3 * len(extra)
