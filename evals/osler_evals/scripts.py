"""Scripts to be read aloud: who says what, from the dialogue collections and from scripts of our own.

The collections are CC BY 4.0: PriMock57 (Papadopoulos Korfiatis et al. 2022), OSCE interviews (Fareez et al. 2022),
ACI-BENCH (Yim et al. 2023), MTS-Dialog (Ben Abacha et al. 2023). Their texts are read at run time and never kept here.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from osler.speech.model import CLINICIAN, PATIENT, other
from osler_evals.dialogues import read_dialogues

SECONDS_PER_WORD: Final = 0.36
"""About 165 words a minute with the pauses between turns; used only to decide where to cut a script."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One speaker's words, ready to be read."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """A visit to be read; ``source`` names where its text comes from and its licence."""

    source: str
    utterances: tuple[Utterance, ...]


_TITLES: Final = {
    "aci-bench": "ACI-BENCH",
    "mts-dialog": "MTS-Dialog",
    "osce": "OSCE interview",
    "primock57": "PriMock57",
}
_TAG: Final = re.compile(r"<[^<>]*>")
_BRACKETED: Final = re.compile(r"\[[^\[\]]*\]|\{[^{}]*\}")
_SPACED_CLITIC: Final = re.compile(r"\b(\w+) (n't|'s|'re|'ve|'ll|'d|'m)\b", re.IGNORECASE)
_SPACED_PARTS: Final = (("gon na", "gonna"), ("wan na", "wanna"), ("got ta", "gotta"), ("can not", "cannot"))
_READ_AS: Final = (
    (re.compile(r"\b(\d+)\s*/\s*(\d+)\b"), r"\1 over \2"),
    (re.compile(r"(?<=\d)\s*%"), " percent"),
    (re.compile(r"(?<=\d)\s*mg\b", re.IGNORECASE), " milligrams"),
    (re.compile(r"(?<=\d)\s*(?:mcg|µg)\b", re.IGNORECASE), " micrograms"),
    (re.compile(r"(?<=\d)\s*ml\b", re.IGNORECASE), " milliliters"),
    (re.compile(r"(?<=[a-z])/(?=[a-z])", re.IGNORECASE), " or "),
    (re.compile(r"\s*&\s*"), " and "),
    (re.compile(r"\bok\b|\bo\.k\.", re.IGNORECASE), "okay"),  # one spelling: Whisper's normaliser knows no variants
    (re.compile(r"\balright\b", re.IGNORECASE), "all right"),
    (re.compile(r"(?<=\w)-(?=\s|$)"), ""),  # a word broken off: "wh- what"
)


def spoken(text: str) -> str:
    """Return ``text`` as it is to be read: tags, brackets and odd spacing gone, signs spelled out."""
    text = _BRACKETED.sub(" ", _TAG.sub(" ", text)).replace("’", "'").replace("…", "...").replace('"', " ")
    text = _SPACED_CLITIC.sub(r"\1\2", text)
    for apart, joined in _SPACED_PARTS:
        text = re.sub(rf"\b{apart}\b", joined, text, flags=re.IGNORECASE)
    for sign, words in _READ_AS:
        text = sign.sub(words, text)
    text = re.sub(r"\s+([,.;:?!])", r"\1", text)
    text = re.sub(r"([,.;:?!])(?:\s*[,.;:])+", r"\1", text)
    text = re.sub(r"\s+", " ", text).strip(" ,;:-").lstrip(".?! ")
    text = re.sub(r"\bi\b(?!\.)", "I", text)
    return re.sub(r"(^|[.?!]\s+)([a-z])", lambda found: found[1] + found[2].upper(), text)


def first_part(utterances: Iterable[Utterance], *, seconds: float) -> tuple[Utterance, ...]:
    """Return the first utterances that hold something to say, until about ``seconds`` of talking are full."""
    kept: list[Utterance] = []
    words = 0
    for utterance in utterances:
        if not re.search(r"\w", utterance.text):
            continue
        kept.append(utterance)
        words += len(utterance.text.split())
        if words * SECONDS_PER_WORD >= seconds:
            break
    return tuple(kept)


def from_collection(data: Path, collection: str, name: str, *, seconds: float) -> Script:
    """Read a dialogue of ``collection`` (``aci-bench``, ``mts-dialog``, ``osce``, ``primock57``) below ``data``.

    Whoever is neither clinician nor patient becomes other 1, other 2 ... in the order of speaking.
    Raises KeyError where there is no such dialogue, ValueError for one that Osler may be trained on.
    """
    dialogue = next((d for d in read_dialogues(data) if (d.source, d.name) == (collection, name)), None)
    if dialogue is None:
        raise KeyError(f"{collection} has no dialogue {name}")
    if not dialogue.held_out:
        raise ValueError(f"{name} of {collection} may be trained on; a measurement takes one that is held out")
    labels = {CLINICIAN: CLINICIAN, PATIENT: PATIENT}
    for utterance in dialogue.utterances:
        labels.setdefault(utterance.speaker, other(len(labels) - 1))
    said = (Utterance(labels[u.speaker], spoken(u.text)) for u in dialogue.utterances)
    kept = first_part(said, seconds=seconds)
    return Script(f"{_TITLES[collection]} {name}, first {len(kept)} utterances, CC BY 4.0", kept)


def from_toml(path: Path) -> Script:
    """Read a script of our own: ``source`` and a list ``turns`` of [speaker, text] pairs."""
    data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return Script(str(data["source"]), tuple(Utterance(str(speaker), str(text)) for speaker, text in data["turns"]))
