"""The code of a named condition in any terminology: names carry ICD-10-CM codes, other systems are asked by words."""

from typing import Final

from osler.coding.terminology import Terminology
from osler.engines.coder.refining import Refined, refine
from osler.engines.coder.vocabulary import Name

_OWN: Final = "ICD-10-CM"
_WHO: Final = "ICD-10"
_SURE: Final = 0.5
"""The least score with which the words of a condition name a code of another system."""


def code_in(
    terminology: Terminology, name: Name, text: str, near: frozenset[str], wide: frozenset[str]
) -> Refined | None:
    """Return the code of a condition that ``text`` names; None if the terminology has none.

    ICD-10-CM is a clinical modification of ICD-10 (WHO): where the three or four characters of a code have the same
    place there, they are the code. The words decide for all other systems.
    """
    if terminology.system == _OWN:
        return refine(terminology, name.code, near, wide)
    found = terminology.search(text, limit=1)
    if found and found[0].score >= _SURE:
        return Refined(found[0].code, None)
    if terminology.system == _WHO:
        for length in (5, 3):
            known = terminology.find(name.code[:length])
            general = terminology.unspecified(known.code) if known else None
            if general is not None:
                return Refined(general, None)
    return None
