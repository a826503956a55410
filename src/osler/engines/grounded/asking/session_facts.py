"""Answers from what the session is about, which nobody need say aloud: who the patient is, and the day of the visit."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

_PATIENT: Final = r"(?:the |this |your |my )?(?:patient|pt|client)"
_OWN: Final = rf"(?:{_PATIENT}['’]?s?|his|her|their)"
_WHO: Final = rf"(?:{_PATIENT}|he|she|they)"
_VISIT: Final = r"(?:visit|session|encounter|consultation|consult|appointment|recording)"
_PLEASE: Final = (
    r"(?:(?:please |can you |could you )*(?:tell me |give me |show me |state |list )?"
    r"(?:what(?:['’]s| is| was| are)? )?)?"
)


def _asks(*patterns: str) -> re.Pattern[str]:
    """A question for this alone, from its first word to its last: "when is the next visit" is another one."""
    return re.compile(rf"(?:{'|'.join(patterns)})(?: please)?[\s?.!]*", re.IGNORECASE)


_NAME: Final = _asks(
    rf"{_PLEASE}(?:the )?(?:full |whole )?name of {_PATIENT}",
    rf"{_PLEASE}{_OWN} (?:full |whole )?name",
    rf"who(?:['’]s| is| was) {_PATIENT}",
    rf"what is {_PATIENT} called",
)
_BORN: Final = _asks(
    rf"{_PLEASE}(?:{_OWN} )?(?:the )?(?:date of birth|birth ?date|birthday|dob|d\.o\.b\.)(?: of {_PATIENT})?",
    rf"when was {_WHO} born",
)
_AGE: Final = _asks(
    rf"how old (?:is|was) {_WHO}", rf"{_PLEASE}{_OWN} age", rf"{_PLEASE}(?:the )?age of {_PATIENT}"
)  # fmt: skip
_GENDER: Final = _asks(
    rf"{_PLEASE}{_OWN} (?:gender|sex)",
    rf"{_PLEASE}(?:the )?(?:gender|sex) of {_PATIENT}",
    rf"is {_PATIENT} (?:a )?(?:male or (?:a )?female|female or (?:a )?male|man or (?:a )?woman|woman or (?:a )?man)",
)
_DAY: Final = _asks(
    rf"{_PLEASE}(?:the )?(?:date|day) of (?:the |this |today['’]s )?{_VISIT}",
    rf"(?:when|what (?:day|date)|on (?:what|which) (?:day|date)) (?:is|was) (?:the|this) {_VISIT}",
    rf"when did (?:the|this) {_VISIT} (?:take place|happen)",
    rf"{_PLEASE}(?:the |this )?{_VISIT} date",
)


def of_session(asked: str, facts: Mapping[str, str]) -> str | None:
    """Return the answer in one line, with where it is from; None if something else is asked, or the session lacks it.

    ``facts`` are those of ``VisitSources.facts``. The age is that on the day of the visit.
    """
    question = " ".join(asked.split())
    for pattern, answer in _ANSWERS:
        if pattern.fullmatch(question):
            return answer(facts)
    return None


def _of_profile(lead: str, name: str) -> Callable[[Mapping[str, str]], str | None]:
    def told(facts: Mapping[str, str]) -> str | None:
        return f"{lead}: {facts[name]} (the patient's details in this session)." if facts.get(name) else None

    return told


def _age(facts: Mapping[str, str]) -> str | None:
    if not facts.get("patient_birth_date") or not facts.get("visit_date"):
        return None
    born, day = date.fromisoformat(facts["patient_birth_date"]), date.fromisoformat(facts["visit_date"])
    years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    months = (day.year - born.year) * 12 + day.month - born.month - (day.day < born.day)
    if months < 0:
        return None  # born after the visit: a mistake, or a child that was expected
    old = f"{years} years" if years >= 2 else f"{months} month{'' if months == 1 else 's'}"
    return f"Age: {old} on the day of the visit, born {born} (the patient's details in this session)."


def _day(facts: Mapping[str, str]) -> str | None:
    return f"Date of the visit: {facts['visit_date']} (this session)." if facts.get("visit_date") else None


_ANSWERS: Final[tuple[tuple[re.Pattern[str], Callable[[Mapping[str, str]], str | None]], ...]] = (
    (_NAME, _of_profile("Name", "patient_name")),
    (_BORN, _of_profile("Date of birth", "patient_birth_date")),
    (_AGE, _age),
    (_GENDER, _of_profile("Gender", "patient_gender")),
    (_DAY, _day),
)
