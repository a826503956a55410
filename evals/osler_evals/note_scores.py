"""Scores of a note: likeness to a reference note, and how well its sentences rest on what they cite. Pure functions.

The count of unsupported tokens is written apart from the writer's own check (``osler.notes.grounding``) on purpose: it
shares the tables of what means the same (units, medicines), not the code.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from html import unescape
from importlib.resources import files
from typing import Any, Final

from rouge_score.rouge_scorer import RougeScorer

from osler.notes.medicines import medicine_names
from osler.notes.model import Evidence, Note
from osler.notes.tokens import numbers, singular, tokenize
from osler.speech.model import Transcript

KINDS: Final = ("number", "unit", "medicine", "side", "negation")
"""What must never be written unless it was said."""

# fmt: off
_NEGATIONS: Final = frozenset((
    "no", "not", "n't", "never", "none", "nothing", "nobody", "neither", "nor", "without", "negative", "nope", "nah",
    "cannot", "denies", "denied", "deny", "denying",
))
# fmt: on
_SIDES: Final = {"left": "left", "right": "right", "bilateral": "both", "bilaterally": "both", "both": "both"}


@dataclass(frozen=True, slots=True)
class Rouge:
    """ROUGE F1 (Lin 2004) without stemming, 0..1: single words, pairs, longest common sequence by sentence."""

    rouge1: float
    rouge2: float
    rouge_lsum: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How a note's sentences stand to their evidence; counts add up over notes."""

    sentences: int = 0
    with_evidence: int = 0
    quoting_exactly: int = 0
    repeated: int = 0
    words: int = 0
    content_words: int = 0
    unsupported_content_words: int = 0
    critical: Mapping[str, int] = field(default_factory=dict)
    unsupported_critical: Mapping[str, int] = field(default_factory=dict)

    @property
    def unsupported_rate(self) -> float:
        """Share of the note's numbers, units, medicines, body sides and negations that no cited quote holds, 0..1."""
        total = sum(self.critical.values())
        return sum(self.unsupported_critical.values()) / total if total else 0.0

    @property
    def unsupported_content_rate(self) -> float:
        """Share of all content words that no cited quote holds, 0..1; rewording counts, so 0 is not the aim."""
        return self.unsupported_content_words / self.content_words if self.content_words else 0.0

    def __add__(self, more: "Counts") -> "Counts":
        added: dict[str, Any] = {}
        for each in fields(self):
            ours, theirs = getattr(self, each.name), getattr(more, each.name)
            added[each.name] = dict(Counter(ours) + Counter(theirs)) if isinstance(ours, Mapping) else ours + theirs
        return Counts(**added)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; rates are shares, not percent."""
        return {
            "sentences": self.sentences,
            "with_evidence": self.with_evidence,
            "quoting_exactly": self.quoting_exactly,
            "repeated": self.repeated,
            "words": self.words,
            "unsupported_token_rate": round(self.unsupported_rate, 5),
            "critical_tokens": {kind: self.critical.get(kind, 0) for kind in KINDS},
            "unsupported_critical_tokens": {kind: self.unsupported_critical.get(kind, 0) for kind in KINDS},
            "unsupported_content_word_rate": round(self.unsupported_content_rate, 4),
        }


def rouge(reference: str, text: str) -> Rouge:
    """Score ``text`` against ``reference``, both whole notes."""
    found = _scorer().score(_one_sentence_a_line(reference), _one_sentence_a_line(text))
    return Rouge(*(float(found[name].fmeasure) for name in ("rouge1", "rouge2", "rougeLsum")))


@cache
def _scorer() -> Any:
    return RougeScorer(["rouge1", "rouge2", "rougeLsum"], use_stemmer=False)


def _one_sentence_a_line(text: str) -> str:
    return re.sub(r"(?<=[.!?])\s+", "\n", text.strip())


def plain(markdown: str) -> str:
    """Return ``markdown`` without its marks: headings, bullets, bold, escapes."""
    text = re.sub(r"^[ \t]*(?:#+|[-*+]|>)[ \t]+", "", markdown, flags=re.MULTILINE)
    text = re.sub(r"(?<!\\)\*\*(.+?)(?<!\\)\*\*", r"\1", text)
    return unescape(re.sub(r"\\([\\`*_\[\]#|])", r"\1", text))


def count(note: Note, transcript: Transcript) -> Counts:
    """Count how the sentences of ``note`` stand to what they cite in ``transcript``."""
    total = Counts(repeated=repeated(sentence.text for sentence in note.sentences))
    for sentence in note.sentences:
        quotes = [evidence.quote for evidence in sentence.evidence]
        total += Counts(
            sentences=1,
            with_evidence=int(bool(quotes)),
            quoting_exactly=int(bool(quotes) and all(is_exact(e, transcript) for e in sentence.evidence)),
        )
        total += supported(sentence.text, quotes)
    return total


def is_exact(evidence: Evidence, transcript: Transcript) -> bool:
    """Say whether the evidence quotes the turn that it names, to the character, and something at all."""
    if not 0 <= evidence.turn < len(transcript.turns):
        return False
    text = transcript.turns[evidence.turn].text
    return (
        bool(evidence.quote.strip()) and evidence.start >= 0 and text[evidence.start : evidence.end] == evidence.quote
    )


def repeated(sentences: Iterable[str]) -> int:
    """Count the sentences that say, word for word, what an earlier one said (case and punctuation aside)."""
    seen: Counter[tuple[str, ...]] = Counter(tuple(re.findall(r"\w+", text.lower())) for text in sentences)
    return sum(times - 1 for times in seen.values())


def supported(sentence: str, quotes: Sequence[str]) -> Counts:
    """Count the tokens of one sentence, and those that occur in none of its ``quotes``.

    A number counts in any spelling ("one forty five" is 145), "a week" is 1 week; a unit counts where it follows a
    number; a negation counts once per sentence and asks for a quote that negates.
    """
    written = _critical(sentence)
    said = [_critical(quote, quoted=True) for quote in quotes]
    heard = {
        kind: {part for quote in said for item in quote[kind] for part in " ".join(item).split()} for kind in KINDS
    }
    critical = {kind: len(written[kind]) for kind in KINDS}
    missing = {
        kind: sum(not any(heard[kind].issuperset(reading.split()) for reading in item) for item in written[kind])
        for kind in KINDS
    }
    content = _content(sentence)
    said_content = {word for quote in quotes for word in _content(quote)}
    return Counts(
        words=len(sentence.split()),
        content_words=len(content),
        unsupported_content_words=sum(word not in said_content for word in content),
        critical=critical,
        unsupported_critical=missing,
    )


def _critical(text: str, *, quoted: bool = False) -> dict[str, list[tuple[str, ...]]]:
    """The critical tokens of a text, each as its possible readings (parts joined by blanks).

    In a quote a unit need not follow a number: "all day" bears "1 day".
    """
    tokens = tokenize(text)
    words = [token.norm for token in tokens]
    found = numbers(tokens)
    ends = {number.end for number in found}
    units = [
        i
        for i, word in enumerate(words)
        if word in _units() and (quoted or i in ends or (words[i - 1] == "-" and i - 1 in ends))
    ]
    ones = [("1",) for i in units if quoted and i and words[i - 1] in ("a", "an", "per", "every", "each")]
    return {
        "number": [*(tuple(" ".join(reading) for reading in number.readings) for number in found), *ones],
        "unit": [(_units()[words[i]].replace(" ", "_"),) for i in units],
        "medicine": [(_medicines()[word].replace(" ", "_"),) for word in words if word in _medicines()],
        "side": [(_SIDES[word],) for i, word in enumerate(words) if _is_side(words, i)],
        "negation": [("no",)] if any(word in _NEGATIONS for word in words) else [],
    }


def _is_side(words: Sequence[str], i: int) -> bool:
    """Say whether ``words[i]`` is a side of the body; "all right", "right now", "have left" are not."""
    if words[i] not in _SIDES:
        return False
    if words[i] == "right":
        following = words[i + 1] if i + 1 < len(words) else ""
        return (i == 0 or words[i - 1] not in ("all", "that", "'s", "are", "is", "you")) and following not in (
            "now", "away", "here", "there", "?", "before", "after",
        )  # fmt: skip
    return words[i] != "left" or i == 0 or words[i - 1] not in ("have", "has", "had", "i", "he", "she", "they", "we")


def _content(text: str) -> list[str]:
    stop = _function_words() | _NEGATIONS
    return [
        singular(token.norm)
        for token in tokenize(text)
        if token.norm[0].isalpha() and len(token.norm) > 1 and token.norm not in stop
    ]


@cache
def _units() -> Mapping[str, str]:
    data = tomllib.loads(files("osler.notes").joinpath("data", "grounding.toml").read_text("utf-8"))
    return {
        surface: name
        for section in (data["units"], data["time_units"])
        for name, surfaces in section.items()
        for surface in surfaces
        if " " not in surface
    }


@cache
def _medicines() -> Mapping[str, str]:
    return {name: generic for name, generic in medicine_names().items() if " " not in name}


@cache
def _function_words() -> frozenset[str]:
    lines = files("osler_evals").joinpath("data", "function_words.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
