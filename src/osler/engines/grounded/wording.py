"""Takes the hesitations, restarts and padding out of speech; what is left keeps the speaker's words and order."""

import re
from functools import cache

from osler.engines.grounded.lexical import load_lexicon
from osler.notes.tokens import numbers, tokenize

_Rules = list[tuple[re.Pattern[str], str]]


@cache
def _rules() -> tuple[_Rules, _Rules]:
    lexicon = load_lexicon()
    return lexicon.rules("contractions"), lexicon.rules("writing")


@cache
def _expression(name: str) -> re.Pattern[str]:
    lexicon = load_lexicon()
    if name == "openings":
        return re.compile(rf"^(?:(?:{'|'.join(lexicon.patterns('openings'))})(?![\w'-])[\s,.;:-]*)+", re.IGNORECASE)
    return lexicon.any_of(name)


def spell(text: str) -> str:
    """Join what the transcript writes apart ("do n't", "gon na") and close up the punctuation."""
    for pattern, replacement in _rules()[0]:
        text = pattern.sub(replacement, text)
    text = re.sub(r"\s*\.{2,}\s*", " , ", text)
    text = re.sub(r"\[[^\]]*\]|<[^>]*>|\([^)]*\)", " ", text)
    text = re.sub(r"\s+-{1,2}\s+|[–—]", " , ", text)
    text = re.sub(r"\s+([,.?!;:])", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


def tidy(text: str) -> str:
    """Return one utterance without hesitations, false starts, repetitions, openings and closings; may be empty."""
    text = spell(text)
    text = re.sub(r"^([A-Z])(?=[a-z']|\s)(?!'|I\b)", lambda m: m[1] if m[1] == "I" else m[1].lower(), text)
    text = re.sub(r"\b[\w']+-(?=[\s,]|$)", " ", text)
    previous = None
    while text != previous:
        previous = text
        text = _expression("padding").sub(" ", text)
        text = _close_up(text)
        text = _without_repetition(text)
        text = _expression("openings").sub("", text)
        text = _expression("closings").sub("", text)
        text = _close_up(text)
    text = with_digits(text)
    for pattern, replacement in _rules()[1]:
        text = pattern.sub(replacement, text)
    return text


def with_digits(text: str) -> str:
    """Write spoken numbers as digits: "one forty five" is 145; small counts ("two days") and "once" stay words."""
    tokens = tokenize(text)
    measures = load_lexicon().words("measures")
    for number in reversed(numbers(tokens)):
        start, end = tokens[number.start].start, tokens[number.end - 1].end
        spoken = text[start:end]
        following = tokens[number.end].norm if number.end < len(tokens) else ""
        if spoken[0].isdigit() or len(number.readings) > 1 and following not in measures:
            continue
        small = number.end - number.start == 1 and len(number.value) == 1
        if spoken.lower() in _COUNTS or (small and following not in measures) or re.search(r"(?:st|nd|rd|th)$", spoken):
            continue
        text = text[:start] + number.value + text[end:]
    return text


_COUNTS = frozenset({"once", "twice", "thrice", "half", "second", "zero", "a hundred", "a thousand"})


def without_opening(text: str) -> str:
    """Return the text past "okay, so, now"."""
    return _expression("openings").sub("", text).strip()


def _close_up(text: str) -> str:
    text = re.sub(r"\s+([,.?!;:])", r"\1", text)
    text = re.sub(r"(?:,\s*)+(?=[,.?!;:])", "", text)
    text = re.sub(r"(,\s*){2,}", ", ", text)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"^[\s,.;:?!-]+|[\s,.;:?!-]+$", "", text)


_KEPT_DOUBLE = frozenset({"had", "that", "very"})


def _without_repetition(text: str) -> str:
    """Keep the last of words or phrases (up to six words) said twice in a row, commas between them or not."""
    words = text.split(" ")
    bare = [re.sub(r"^\W+|\W+$", "", w).lower() for w in words]
    width = 6
    while width:
        i = 0
        while i + 2 * width <= len(words):
            first, second = bare[i : i + width], bare[i + width : i + 2 * width]
            ended = any(w[-1:] in ".?!" for w in words[i : i + width])
            numeric = all(re.search(r"\d", w) for w in first)
            if (
                first == second
                and any(first)
                and not ended
                and not numeric
                and not (width == 1 and bare[i] in _KEPT_DOUBLE)
            ):
                del words[i : i + width]
                del bare[i : i + width]
            else:
                i += 1
        width -= 1
    return " ".join(words)
