"""Medical vocabulary: which words are drugs, and which bias the decoder. Data in ``data/``, sources named there."""

import functools
import re
from collections.abc import Iterator, Mapping
from importlib import resources

_LETTERS = re.compile(r"[a-z0-9][a-z0-9-]*")


def data_lines(name: str) -> Iterator[str]:
    """Yield the lines of a data file of this room without comments and blanks."""
    for line in resources.files("osler.speech").joinpath(f"data/{name}").read_text("utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.strip("\n")


def bare(token: str) -> str:
    """Return a token in lower case without punctuation around it and without a possessive ending."""
    token = token.lower().strip(".,?!;:\"'“”‘’()[]…")
    return re.sub(r"['’]s$", "", token)


@functools.cache
def drug_classes() -> Mapping[str, str]:
    """Return the class of each common drug by lower-case name, generic and brand ("zestril": "ACE inhibitor")."""
    found: dict[str, str] = {}
    for line in data_lines("drugs.tsv"):
        kind, generic, *brands = line.split("\t")
        for name in (generic, *(brands[0].split(",") if brands else ())):
            if name:
                found[name.lower()] = kind
    return found


@functools.cache
def drug_words() -> frozenset[str]:
    """Return every single word (lower case) that names a drug or a class of drugs."""
    words = {word for name in drug_classes() for word in _LETTERS.findall(name) if len(word) > 2}
    words.update(data_lines("icd10cm_drug_names.txt"))
    for name in data_lines("drug_classes.txt"):
        if " " not in name:
            words.add(name)
    return frozenset(words - frozenset(data_lines("not_drugs.txt")))


def is_drug(token: str) -> bool:
    """Say whether a token (any case, punctuation allowed) names a drug: generic, brand or class word."""
    name = bare(token)
    singular = name[:-1] if name.endswith("s") and len(name) > 5 else name
    return name in drug_words() or singular in drug_words() or ("-" in name and name in drug_classes())


@functools.cache
def _by_shape() -> Mapping[tuple[str, int], tuple[str, ...]]:
    """Common drugs of six letters and more by first letter and length: the candidates of a near miss."""
    found: dict[tuple[str, int], list[str]] = {}
    for word in sorted({w for name in drug_classes() for w in _LETTERS.findall(name)} & drug_words()):
        if len(word) >= 6:
            found.setdefault((word[0], len(word)), []).append(word)
    return {shape: tuple(words) for shape, words in found.items()}


def near_drug(token: str) -> str | None:
    """Return the common drug that a token misspells by one letter (two from nine letters), None if none or if exact.

    Distance: Levenshtein; the first letter must agree, or be one that is heard alike (c/k/s, f/p, i/e, x/z).
    """
    name = bare(token)
    if len(name) < 6 or not name.isalpha() or is_drug(name):
        return None
    allowed = 2 if len(name) >= 9 else 1
    firsts = next((group for group in ("cks", "fp", "ie", "xz") if name[0] in group), name[0])
    best: tuple[int, str] | None = None
    for first in firsts:
        for length in range(len(name) - allowed, len(name) + allowed + 1):
            for word in _by_shape().get((first, length), ()):
                distance = _distance(name, word, allowed)
                if distance <= allowed and (best is None or (distance, word) < best):
                    best = (distance, word)
    return best[1] if best else None


def sounds_like_drug(token: str) -> bool:
    """Say whether a token is no known drug but looks like one: it is nearly one, or ends in a stem of drug names."""
    name = bare(token)
    if is_drug(name) or name in _everyday_words():
        return False
    stem = len(name) >= 6 and name.isalpha() and name.endswith(_drug_stems())
    return stem or near_drug(name) is not None


@functools.cache
def _everyday_words() -> frozenset[str]:
    return frozenset(data_lines("everyday_words.txt"))


@functools.cache
def _drug_stems() -> tuple[str, ...]:
    return tuple(data_lines("drug_stems.txt"))


def _distance(a: str, b: str, limit: int) -> int:
    """Levenshtein distance, or ``limit + 1`` as soon as it must be larger than ``limit``."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (left != right))
        if min(row) > limit:
            return limit + 1
    return row[-1]


@functools.cache
def decoder_bias() -> str:
    """Return the words that bias the decoder, comma-separated; it fits the ~200 tokens of Whisper's hotwords window."""
    return ", ".join(data_lines("decoder_bias.txt"))
