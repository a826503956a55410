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
    text = without_address(spell(text))
    text = re.sub(r"^([A-Z])(?=[a-z']|\s)(?!'|I\b)", lambda m: m[1] if m[1] == "I" else m[1].lower(), text)
    text = re.sub(r"\b[\w']+-(?=[\s,]|$)", " ", text)
    previous = None
    while text != previous:
        previous = text
        text = _expression("padding").sub(" ", text)
        text = _close_up(text)
        text = _without_repetition(text)
        text = _BROKEN_OFF.sub("", text)
        text = _FALSE_START.sub("", text)
        text = without_address(_expression("openings").sub("", text))
        text = _expression("closings").sub("", text)
        text = _close_up(text)
    text = with_digits(text)
    for pattern, replacement in _rules()[1]:
        text = pattern.sub(replacement, text)
    return text


def without_address(text: str) -> str:
    """Drop a greeting and the name that the other is called by ("hi john,", "john, i was")."""
    text = _expression("greetings").sub("", text)
    match = re.match(
        r"([A-Za-z]+),(?: (?:uh|um|so),?)? (?=(?:i|you|your|we|so|what|how|do|are|have|the|it|i'm|you're)\b)", text
    )
    if (
        match
        and match[1].lower() not in load_lexicon().words("not_names")
        and not _expression("openings").match(match[0])
    ):
        text = text[match.end() :]
    return text


def with_digits(text: str) -> str:
    """Write spoken numbers as digits: "one forty five" is 145; small counts ("two days") and "once" stay words."""
    tokens = tokenize(text)
    measures = load_lexicon().words("measures")
    for number in reversed(numbers(tokens)):
        start, end = tokens[number.start].start, tokens[number.end - 1].end
        spoken = text[start:end]
        following = tokens[number.end].norm if number.end < len(tokens) else ""
        if spoken[0].isdigit() or (len(number.readings) > 1 and following not in measures):
            continue
        small = number.end - number.start == 1 and len(number.value) == 1
        if (
            (spoken.lower() in _COUNTS and following not in measures)
            or (small and following not in measures)
            or re.search(r"(?:st|nd|rd|th)$", spoken)
        ):
            continue
        text = text[:start] + number.value + text[end:]
    return text


_COUNTS = frozenset({"once", "twice", "thrice", "half", "second", "zero", "hundred", "a hundred", "a thousand"})


_BROKEN_OFF = re.compile(
    r"\b(?:my|the|a|an|your|our|of|to|and|is|are|was|it|i|i'm|it's|or like),\s+(?=\w)"
    r"(?!(?:if|when|as|even|especially)\b)",
    re.IGNORECASE,
)
"""A word that opens something and then a pause: the speaker starts anew."""


_FALSE_START = re.compile(
    r"\b(?:i|i'm|i've|i'd|i do|i did|i have|i can|i was|i would|they|it's|it|we),? (?=(?:i|i'm|i've|i'd|we|it's|my)\b)"
    r"|\b(when|if|that|because|and|but|where|as) (?:i|it|they|we|you),? (?=\1 )"
    r"|\bi (?=you (?:have|are)\b)|\bi have, (?=it\b)|\bi do (\w+)(?: it)? (?=i \2\b)",
    re.IGNORECASE,
)
"""A clause given up after its subject: "i do i play", "when i when i'm"."""


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
