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
from osler.speech.model import PATIENT, Transcript


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
def _any(key: str) -> re.Pattern[str]:
    return load_lexicon().any_of(key)


@cache
def _prefix(key: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:{'|'.join(load_lexicon().patterns(key))})(?:(?<=\s)|(?!\w))\s*", re.IGNORECASE)


def reference_of(transcript: Transcript) -> Reference:
    """Say how to name the patient, from what people call them; neutral where nothing or both are said."""
    male = female = 0
    for turn in transcript.turns:
        if turn.speaker == PATIENT:
            continue
        male += len(_any("male").findall(turn.text))
        female += len(_any("female").findall(turn.text))
    if male and male >= 3 * female:
        return MALE
    if female and female >= 3 * male:
        return FEMALE
    return NEUTRAL


def rewrite(utterance: Utterance, reference: Reference = NEUTRAL) -> str | None:
    """Return the sentence that a note holds for a statement, or None where it holds none."""
    if utterance.is_question or _any("not_written").search(spell(utterance.text)):
        return None
    text = tidy(utterance.text)
    if not utterance.by_clinician:
        text = _ANSWERED_NO.sub("", text)
        for pattern, replacement in load_lexicon().rules("swallowed"):
            text = pattern.sub(replacement, text)
    if len(text.split()) < 2 or _any("dangling").search(text) or _any("not_written").search(text):
        return None
    if utterance.by_clinician:
        written = _clinician(text, reference)
    elif utterance.speaker == PATIENT:
        written = _patient(text, reference)
    else:
        written = _bystander(text)
    return finish(written) if written else None


_ANSWERED_NO = re.compile(
    r"^(?:(?:no|nope|nah|not really)\b[\s,.]*)+(?=(?:i|i'm|i've|my|it|it's|there|there's|we|but|other|that)\b)(?:but )?",
    re.IGNORECASE,
)


def finish(text: str) -> str | None:
    """Make a sentence of it: capital, full stop; None if too little is left."""
    text = re.sub(r"\s+", " ", text).strip(" ,;:.-?!")
    text = re.sub(r"\bi\b", "I", text)
    text = re.sub(r"\b(has|have) got (?=a|an|the|some|no)\b", r"\1 ", text)
    text = re.sub(r"\s+([,.?!;:])", r"\1", text)
    if len(text.split()) < 2 or _EMPTY.match(text):
        return None
    return text[0].upper() + text[1:] + "."


_EMPTY = re.compile(
    r"(?:the patient|he|she|they|it|there)(?: (?:is|are|was|were|has|have|does|do|did|can|will|would))?(?: ?n[o']t)?$",
    re.IGNORECASE,
)


def _patient(text: str, reference: Reference) -> str | None:
    if re.search(r"\b(?:you|your|you're|you've)\b", text, re.IGNORECASE) or re.match(r"(?:he|she|they)\b", text, re.I):
        return None
    if re.match(
        r"(?:i )?(?:don't|do not) (?:think so|know|remember|recall)\s*$|i (?:don't|do not) \w+$|i (?:do|am|have|did|was|can|think so|know)$",
        text,
        re.I,
    ):
        return None
    return first_to_third(text, reference)


def _bystander(text: str) -> str | None:
    if re.search(r"\b(?:you|your|i|my|me|we|our)\b|\bi'", text, re.IGNORECASE):
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
    fixed = {
        "am": "is", "have": "has", "do": "does", "don't": "does not", "haven't": "has not", "aren't": "is not",
        "ain't": "is not", "go": "goes", "didn't": "did not", "wasn't": "was not", "can't": "cannot",
        "couldn't": "could not", "hadn't": "had not", "won't": "will not", "wouldn't": "would not",
    }  # fmt: skip
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
    r"(?<!to )(?<!will )(?<!'ll )\b(?:do|did|are|have|were|can|could|would|does|don't|aren't|didn't|haven't) (?:you|your)\b",
    re.IGNORECASE,
)


def _clinician(text: str, reference: Reference) -> str | None:
    lexicon = load_lexicon()
    for pattern, replacement in lexicon.rules("told_frames"):
        text = pattern.sub(replacement, text)
    if _ASKS_WITHIN.search(text):
        return None
    plan = plan_of(text, reference)
    if plan is not None:
        return plan or None
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
    framed = body != (head[2] if head else text) or lead or body.startswith("no ")
    if not framed and not _any("finite_verbs").search(second_to_third(body, reference)):
        return None
    if re.match(r"(?:he|she)\b", body, re.IGNORECASE) and body.split()[0].lower().split("'")[0] != reference.subject:
        return None
    return second_to_third(lead + body, reference)


def plan_of(text: str, reference: Reference) -> str | None:
    """Return a clinician's intention as an imperative; "" if it is one that a note leaves out, None if it is none."""
    lexicon = load_lexicon()
    lead = ""
    head = re.match(
        r"^((?:for|with|as for|in terms of|regarding) (?:your|the) [^,]{3,60}?,? )(?=(?:i|we|let's|i'm|i'd|we'll|we're|i'll)\b)",
        text,
        re.I,
    )
    if head:
        lead, text = head[1].strip(" ,"), text[head.end() :]
    match = _prefix("intentions").match(text)
    if not match:
        return None
    rest = text[match.end() :]
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
    third = second_to_third(rest, reference)
    if lead:
        lead = second_to_third(lead, reference) or lead
        return f"{lead}, {third}"
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


_ANSWERS_IN_FULL = frozenset(
    {"i", "it", "they", "he", "she", "there", "a", "i'm", "i've", "i don't", "not", "nothing", "never"}
)
"""Answers that begin so say yes or no only if nothing follows ("i do"; "i do have a cough" states something)."""


def polarity(text: str) -> bool | None:
    """Read an answer: True for yes, False for no, None where it is neither."""
    lexicon = load_lexicon()
    bare = re.sub(
        r"^(?:[\s,.]*\b(?:um+|uh+|er+|oh|well|okay|so|i mean|ah|hmm)\b[\s,.]*)+", "", spell(text).lower()
    ).strip(" ,.")
    for words, value in ((lexicon.tables["no_words"], False), (lexicon.tables["yes_words"], True)):
        for phrase in words:
            ending = r"(?=\s*(?:[,.;]|$))" if phrase.split()[0] in _ANSWERS_IN_FULL else r"(?![\w'])"
            if re.match(rf"{re.escape(phrase)}{ending}", bare):
                return value
    return None


def statement_of(question: str, yes: bool, reference: Reference) -> str | None:
    """Return the statement that a yes or a no to the question makes, or None where the question is no plain one."""
    if _any("not_written").search(spell(question)):
        return None
    text = tidy(question.rstrip(" ?"))
    text = re.split(r"\?\s*", text)[-1]
    if not text or len(text.split()) > 28:
        return None
    declared = _DECLARED.match(text)
    if declared and question.rstrip().endswith("?"):
        denies = re.search(r"\b(?:no|not|never)\b|n't\b", text) is not None
        return finish(_clinician(text, reference) or "") if denies != yes or (yes and not denies) else None
    noun = _prefix("asks_noun").match(text)
    if noun and noun.end() > 2:
        return _asked_noun(text[noun.end() :], yes, reference)
    inverted = re.match(
        r"^(do|does|did|are|is|was|were|have|has|had|can|could|will) (you|your [\w -]+?|it|that|the [\w -]+?) (?=(?:ever|still|been|had|taking|have|get|\w+ing|\w+ed|\w+)\b)(.*)$",
        text, re.IGNORECASE,
    )  # fmt: skip
    if not inverted or inverted[2].lower() in {"it", "that"} or len(inverted[2].split()) > 3:
        return None
    return _uninverted(inverted[1].lower(), inverted[2].lower(), inverted[3], yes, reference)


_DECLARED = re.compile(
    r"(?:you(?:'re|'ve| are| have| had| take| do| don't| haven't)|there(?:'s| is| was)) (?!any\b)", re.IGNORECASE
)
"""How a statement begins that is put as a question."""


def _asked_noun(noun: str, yes: bool, reference: Reference) -> str | None:
    noun = re.sub(r"^(?:any|some|the|a|an|of) (?=\w)", "", noun.strip(" ,"))
    noun = re.sub(r",? (?:or|and)? ?(?:any )?(?:other|else|things?|anything|symptoms? like that)\b.*$", "", noun)
    noun = re.sub(r"\bany ", "", noun)
    noun = re.sub(r"^(?:like|with|in|about) ", "", noun).strip(" ,?")
    noun = re.sub(r"(?: (?:in|on|of|with|like|the|at|present|right now|for|to))+$", "", noun)
    if (
        not noun
        or re.search(r"\b(?:you|i|me|we|that|what|question|questions|else|other|it|this)\b", noun, re.I)
        or "?" in noun
    ):
        return None
    if not yes and re.match(r"(?:no|not)\b", noun):
        return None
    noun = re.sub(r"\byour\b", reference.possessive, noun, flags=re.I)
    several = re.search(r"\bor\b|,", noun)
    if yes and several:
        return None
    return finish(f"the patient {'reports' if yes else 'denies'} {noun}")


def _uninverted(auxiliary: str, subject: str, rest: str, yes: bool, reference: Reference) -> str | None:
    lexicon = load_lexicon()
    if re.search(r"\?|\bi\b|\bme\b", rest) or (yes and re.search(r"\bor\b", rest)) or not rest.strip():
        return None
    if (
        re.match(r"(?:have|want|need|like|think|mind|see|know|mean|remember|understand)\b", rest)
        and auxiliary == "do"
        and re.search(r"\b(?:question|that|what)\b", rest)
    ):
        return None
    if re.match(r"(?:mean|see|know|think|mind|want)\b", rest):
        return None
    who = "the patient" if subject == "you" else re.sub(r"^your ", "the ", subject)
    rest = re.sub(r"^(?:ever|still|also|currently|any) ", "", rest) if not yes else re.sub(r"^ever ", "", rest)
    rest = re.sub(r"\b(?:any|some)\b ", "" if yes else "any ", rest)
    tail = second_to_third(rest, reference)
    first, _, others = tail.partition(" ")
    if auxiliary in {"do", "does"}:
        body = f"{third_person(first, lexicon.words('base_verbs'))} {others}" if yes else f"does not {tail}"
        if yes and third_person(first, lexicon.words("base_verbs")) == first:
            return None
    elif auxiliary == "did":
        body = f"did {tail}" if yes else f"did not {tail}"
    else:
        if subject == "you":
            auxiliary = {"are": "is", "were": "was", "have": "has"}.get(auxiliary, auxiliary)
        body = f"{auxiliary} {tail}" if yes else f"{auxiliary} not {tail}"
    return finish(f"{who} {body}")


def topic_answer(question: str, answer: str, reference: Reference) -> str | None:
    """Write a short answer behind what was asked for: "Duration: three weeks." None where it is no such pair."""
    asked = spell(question)
    text = tidy(answer)
    words = text.split()
    if (
        not 1 <= len(words) <= 10
        or polarity(answer) is not None
        or re.search(r"\byou\b|\bi don't\b|\bnot sure\b|\?", text, re.I)
    ):
        return None
    for topic in load_lexicon().tables["topics"]:
        if re.search(rf"\b(?:{topic['asks']})", asked, re.IGNORECASE):
            if re.match(
                r"(?:i|it|the|my|that|he|she|they|there|we)(?:'\w+)?\b(?! (?:left|right|morning|evening|first|side))",
                text,
                re.I,
            ):
                return None
            third = first_to_third(text, reference)
            return finish(f"{topic['label']}: {third}")
    return None
