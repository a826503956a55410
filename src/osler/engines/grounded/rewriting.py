"""Turns what was said into what is written: third person, statements for answered questions, plans as imperatives.

Rules only, from ``data/rewriting.toml``; nothing is added that was not said. A piece that cannot stand alone in a note
(small talk, a dangling "it is", speech to a device) gives None.
"""

import re
from dataclasses import dataclass
from functools import cache

from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.utterances import Utterance
from osler.engines.grounded.wording import spell, tidy
from osler.speech.model import CLINICIAN, PATIENT, Transcript


@dataclass(frozen=True, slots=True)
class Reference:
    """How the patient is named: ``he``/``she`` only where the visit says so, else "the patient" and "they"."""

    subject: str = "they"
    object: str = "them"
    possessive: str = "their"
    plural: bool = True


NEUTRAL = Reference()
MALE = Reference("he", "him", "his", False)
FEMALE = Reference("she", "her", "her", False)


@cache
def matches_any(key: str) -> re.Pattern[str]:
    """Return the expression that matches any pattern of a list of the data file."""
    return load_lexicon().any_of(key)


@cache
def prefix_of(key: str) -> re.Pattern[str]:
    """Return the expression that matches any pattern of a list at the beginning, with the blanks behind it."""
    return re.compile(rf"^(?:{'|'.join(load_lexicon().patterns(key))})(?:(?<=\s)|(?!\w))\s*", re.IGNORECASE)


def reference_of(transcript: Transcript) -> Reference:
    """Say how to name the patient, from what people call them; neutral where nothing or both are said."""
    male = female = 0
    for turn in transcript.turns:
        if turn.speaker == PATIENT:
            continue
        male += len(matches_any("male").findall(turn.text))
        female += len(matches_any("female").findall(turn.text))
    if not male and not female and any(t.speaker not in (CLINICIAN, PATIENT) for t in transcript.turns):
        others = " ".join(t.text for t in transcript.turns if t.speaker != PATIENT)
        male = len(re.findall(r"\b(?:he|his|him)\b", others, re.IGNORECASE))
        female = len(re.findall(r"\b(?:she|her)\b", others, re.IGNORECASE))
    if male and male >= 3 * female:
        return MALE
    if female and female >= 3 * male:
        return FEMALE
    return NEUTRAL


def rewrite(utterance: Utterance, reference: Reference = NEUTRAL) -> str | None:
    """Return the sentence that a note holds for a statement, or None where it holds none."""
    if utterance.is_question or matches_any("not_written").search(spell(utterance.text)):
        return None
    if utterance.by_clinician and matches_any("process_talk").search(spell(utterance.text)):
        return None
    text = tidy(utterance.text)
    text = _ANSWERED_NO.sub("", text)
    if not utterance.by_clinician:
        for pattern, replacement in load_lexicon().rules("swallowed"):
            text = pattern.sub(replacement, text)
    if len(text.split()) < 2 or matches_any("dangling").search(text) or matches_any("not_written").search(text):
        return None
    if utterance.by_clinician:
        written = statement(text, reference)
    elif utterance.speaker == PATIENT:
        written = _patient(text, reference)
    else:
        written = _bystander(text)
    return finish(written) if written else None


_ANSWERED_NO = re.compile(
    r"^(?:(?:no|nope|nah|not really)\b[\s,.]*)+"
    r"(?=(?:i|i'm|i've|my|it|it's|there|there's|we|but|other|that|nothing)\b)(?:but )?",
    re.IGNORECASE,
)


def after_correction(text: str) -> str | None:
    """Return what follows a "no, wait," that begins the text; None where there is none."""
    match = _corrections("^").match(text)
    return text[match.end() :] if match else None


def without_taken_back(text: str) -> str | None:
    """Leave out what is taken back inside a sentence: "about two weeks, no wait, three weeks ago".

    What is replaced begins with the same word or is a number, too; None where neither shows what it is.
    """
    match = _corrections(r"(?:[,;]|\s[\u2014-])\s*").search(text)
    if match is None:
        return text
    before, after = text[: match.start()].split(), text[match.end() :].split()
    if not before or not after:
        return None
    for place in reversed(range(max(0, len(before) - 6), len(before))):
        both_numbers = _NUMBER.match(before[place]) and _NUMBER.match(after[0])
        if before[place].lower() == after[0].lower() or both_numbers:
            return " ".join([*before[:place], *after])
    return None


_NUMBER = re.compile(
    r"\d|(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|\w+ty)\b", re.IGNORECASE
)


@cache
def _corrections(lead: str) -> re.Pattern[str]:
    said = "|".join(load_lexicon().patterns("corrections"))
    return re.compile(rf"{lead}(?:(?:oh|well|um+|uh+|er+)[ ,]+)*(?:{said})\b[\s,.:-]*", re.IGNORECASE)


def finish(text: str) -> str | None:
    """Make a sentence of it: capital, full stop; None if too little is left."""
    text = re.sub(r"\s+", " ", text).strip(" ,;:.-?!")
    text = re.sub(r"\bi\b", "I", text)
    text = re.sub(r"\b(has|have) got (?=a|an|the|some|no)\b", r"\1 ", text)
    text = re.sub(r"\s+([,.?!;:])", r"\1", text)
    if '"' in text or len(text.split()) < 2 or _EMPTY.match(text) or _GIVEN_UP.match(text):
        return None
    return text[0].upper() + text[1:] + "."


_EMPTY = re.compile(
    r"(?:the patient|he|she|they|it|there)(?: (?:is|are|was|were|has|have|does|do|did|can|will|would))?(?: ?n[o']t)?$",
    re.IGNORECASE,
)


_GIVEN_UP = re.compile(
    r"the patient (?:(?:does|do|did|is|has|was|can|will) (?:not )?(?:and|but|or|because|so|yeah|they|he|she)\b|do\b)",
    re.IGNORECASE,
)


_OTHERS = re.compile(
    r"(?:he|she|they)\b|my (?:wife|husband|partner|boyfriend|girlfriend|friend|buddy|boss|neighbou?r|co-?worker|"
    r"grand(?:son|daughter|kids?|children)|(?:room|flat|house|team|class)mates?|colleagues?|landlord|teacher|coach|"
    r"cousin|friends|buddies|girls|boys|dogs?|cats?)\b",
    re.IGNORECASE,
)
"""Subjects that are not the patient, nor kin by blood."""


def _patient(text: str, reference: Reference) -> str | None:
    if re.search(r"\b(?:you|your|you're|you've)\b", text, re.IGNORECASE) or _OTHERS.match(text):
        return None
    if re.match(
        r"(?:i )?(?:don't|do not) (?:think so|know|remember|recall)\s*$"
        r"|i (?:don't|do not) (?:think|care|believe|see|mind)$"
        r"|i (?:do|am|have|did|was|can|think so|know)$",
        text,
        re.I,
    ):
        return None
    return first_to_third(text, reference)


_ABOUT_ANOTHER = re.compile(
    r"^(?:\w+ly |sometimes |and |at night )?(?:he|she|his|her|mom|mum|dad|the patient)\b", re.IGNORECASE
)


def _bystander(text: str) -> str | None:
    if re.search(r"\b(?:you|your|i|my|me|we|our)\b|\bi'", text, re.IGNORECASE):
        return None
    if not _ABOUT_ANOTHER.search(text) or not matches_any("finite_verbs").search(text):
        return None
    return f"per the accompanying person, {text}"


def first_to_third(text: str, reference: Reference) -> str:
    """Write "i've been tired and my back hurts" of the patient."""
    lexicon = load_lexicon()
    base, adverbs, linking = lexicon.words("base_verbs"), lexicon.words("adverbs"), lexicon.words("linking_verbs")
    out: list[str] = []
    named = False
    pending = False
    present = False
    words = text.split(" ")
    for position, word in enumerate(words):
        bare, tail = _bare(word)
        low = bare.lower()
        following = _bare(words[position + 1])[0].lower() if position + 1 < len(words) else ""
        singular = not named or not reference.plural
        name = "the patient" if not named else reference.subject
        if low == "i" or low in {"i'm", "i've", "i'd", "i'll"}:
            out.append(name)
            if low == "i":
                pending = True
            elif low == "i'm":
                out.append("is" if singular else "are")
            elif low == "i've":
                out.append("has" if singular else "have")
            elif low == "i'd":
                out.append("had" if following in {"been", "had", "gone", "taken", "never"} else "would")
            else:
                out.append("will")
            named = True
            present = False
            out[-1] += tail
            last_singular = singular
            continue
        if low in {"my", "mine"}:
            out.append(
                ("the patient's" if not named and not out else reference.possessive)
                + ("" if low == "my" else " own")
                + tail
            )
            named = True
            continue
        if low in {"me", "myself"}:
            themselves = {"he": "himself", "she": "herself"}.get(reference.subject, "themselves")
            if low == "me":
                out.append(("the patient" if not named else reference.object) + tail)
            else:
                out.append(themselves + tail)
            named = True
            continue
        if low in {"we", "us", "our"}:
            out.append({"we": "they", "us": "them", "our": "their"}[low] + tail)
            continue
        if low in {"we're", "we've", "we'll", "we'd"}:
            out.append("they" + low[2:] + tail)
            continue
        if pending:
            if low in adverbs:
                out.append(word)
                continue
            pending = False
            if last_singular:
                changed = third_person(low, base)
                if changed != low:
                    present = True
                    out.append(changed + tail)
                    continue
            elif low == "am":
                out.append("are" + tail)
                continue
            elif low == "was":
                out.append("were" + tail)
                continue
        elif present and low in linking and out and _bare(out[-1])[0] in {"and", "or", "but", "then"} and low in base:
            out.append(third_person(low, base) + tail)
            continue
        present = present and low not in _ENDS_PRESENT
        out.append(word)
    return " ".join(out)


_ENDS_PRESENT = frozenset({"to", "it", "it's", "that", "which", "who", "they", "he", "she", "because", "if"})
"""After these words a joined verb has no longer the patient for its subject."""


def third_person(verb: str, base: frozenset[str]) -> str:
    """Conjugate a present form: "take" to "takes", "don't" to "does not"; past forms and modals stay."""
    fixed = load_lexicon().mapping("third_person_forms")
    if verb in fixed:
        return fixed[verb]
    if verb not in base:
        return verb
    if verb.endswith(("s", "sh", "ch", "x", "z")):
        return verb + "es"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def _bare(word: str) -> tuple[str, str]:
    match = re.match(r"^(.*?)([,.?!;:]*)$", word)
    assert match is not None
    return match[1], match[2]


_OBSERVED = re.compile(r"^(?:(?:on|for|in) (?:your |the )?[\w ,/-]*?exam(?:ination)?,? )?", re.IGNORECASE)


_ASKS_WITHIN = re.compile(
    r"(?<!to )(?<!will )(?<!'ll )"
    r"\b(?:do|did|are|have|were|can|could|would|does|don't|aren't|didn't|haven't) (?:you|your)\b",
    re.IGNORECASE,
)


def statement(text: str, reference: Reference) -> str | None:
    """Write a tidied utterance of the clinician's as a plan, a finding or a statement about the patient."""
    lexicon = load_lexicon()
    if matches_any("general_talk").search(text):
        return None
    for pattern, replacement in lexicon.rules("told_frames"):
        text = pattern.sub(replacement, text)
    if matches_any("dangling").search(text):
        return None
    if matches_any("general_talk").search(text):
        return None
    if _ASKS_WITHIN.search(text) or matches_any("own_life").search(text):
        return None
    plan = plan_of(text, reference)
    if plan is not None:
        return plan or None
    for pattern, replacement in lexicon.rules("joined_intentions"):
        text = pattern.sub(replacement, text)
    if matches_any("own_intentions").search(text):
        return None
    head = re.match(
        r"^((?:on|for|in) (?:your |the )?[\w ,/-]{0,30}exam(?:ination)?(?: here)?,? )(.*)$", text, re.IGNORECASE
    )
    lead, body = (head[1], head[2]) if head else ("", text)
    for pattern, replacement in lexicon.rules("exam_frames"):
        changed = pattern.sub(replacement, body)
        if changed != body:
            body = changed
            break
    if lead:
        lead = re.sub(r"\b(?:your|the)\b ?", "", lead).strip(" ,") + ", "
    framed = body != (head[2] if head else text) or lead or body.startswith("no ") or re.match(r"\w+: ", body)
    if not framed and not matches_any("finite_verbs").search(second_to_third(body, reference)):
        return None
    if re.match(r"(?:he|she)\b", body, re.IGNORECASE) and body.split()[0].lower().split("'")[0] != reference.subject:
        return None
    return second_to_third(lead + body, reference)


def plan_of(text: str, reference: Reference) -> str | None:
    """Return a clinician's intention as an imperative; "" if it is one that a note leaves out, None if it is none."""
    lexicon = load_lexicon()
    lead = ""
    head = re.match(
        r"^((?:(?:for|with|as for|in terms of|regarding|from) "
        r"(?:your|the|an|a) [^,]{3,60}?,? (?:(?:your |the )?[^,]{3,40}, )?)+)"
        r"(?=(?:i|we|let's|i'm|i'd|we'll|we're|i'll|continue|start|stop|increase|keep)\b)",
        text,
        re.I,
    )
    if head:
        lead, text = re.sub(r".*, (?=for )", "", head[1].strip(" ,")), text[head.end() :]
    reason = re.match(
        r"((?:since|given|because|as) [^,]{3,90}, )(?=(?:i|we|let's|i'm|i'd|we'll|we're|i'll)\b)", text, re.I
    )
    if lead:
        reason = None
    if reason:
        lead, text = reason[1].strip(" ,"), text[reason.end() :]
    match = prefix_of("intentions").match(text)
    ordered = text.split(" ")[0].lower() in lexicon.words("orders") or prefix_of("order_openings").match(text)
    if not match and not ordered:
        return None
    rest = text[match.end() :] if match else text
    for pattern, replacement in lexicon.rules("imperatives"):
        changed = pattern.sub(replacement, rest)
        if changed != rest:
            rest = changed
            break
    verb = rest.split(" ")[0].lower().strip(",")
    rest = re.sub(r"^(\w+) (?:your|you) (?!to\b)", r"\1 ", rest)
    if verb not in lexicon.words("plan_verbs"):
        return None
    if len(rest.split()) < 2:
        return ""
    for pattern, replacement in lexicon.rules("joined_intentions"):
        rest = pattern.sub(replacement, rest)
    third = second_to_third(rest, reference)
    if lead:
        lead = second_to_third(lead, reference) or lead
        return f"{third}, {lead}" if reason else f"{lead}, {third}"
    return third


def second_to_third(text: str, reference: Reference) -> str:
    """Write what the clinician says to the patient ("you", "your") of the patient."""
    lexicon = load_lexicon()
    base, adverbs, before = lexicon.words("base_verbs"), lexicon.words("adverbs"), lexicon.words("before_object_you")
    out: list[str] = []
    named = False
    pending = False
    words = text.split(" ")
    contracted = {
        "you're": ("is", "are"),
        "you've": ("has", "have"),
        "you'll": ("will", "will"),
        "you'd": ("would", "would"),
    }
    for position, word in enumerate(words):
        bare, tail = _bare(word)
        low = bare.lower()
        previous = _bare(words[position - 1])[0].lower() if position else ""
        singular = not named or not reference.plural
        name = "the patient" if not named else reference.subject
        if low in contracted:
            out.extend([name, contracted[low][0 if singular else 1] + tail])
            named = True
            continue
        if low == "you":
            following = _bare(words[position + 1])[0].lower() if position + 1 < len(words) else ""
            subject = previous not in before and following != "" and not tail
            if subject:
                out.append(name)
                pending = singular
            else:
                out.append(("the patient" if not named else reference.object) + tail)
            named = True
            continue
        if low in {"your", "yours", "yourself"}:
            if low == "your":
                out.append("the" if not named or reference.plural else reference.possessive)
            else:
                out.append(
                    "the patient's"
                    if low == "yours"
                    else "themselves"
                    if reference.plural
                    else reference.object + "self"
                )
            out[-1] += tail
            continue
        if pending:
            if low in adverbs:
                out.append(word)
                continue
            pending = False
            changed = {"are": "is", "were": "was", "aren't": "is not", "weren't": "was not"}.get(low) or third_person(
                low, base
            )
            out.append(changed + tail)
            continue
        out.append(word)
    return " ".join(out)
