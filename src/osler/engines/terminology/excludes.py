"""Reads the codes that a note names: ``(E10.-)``, ``(E11.0-E11.8)``, ``(M51.2-, M54.4)``."""

import re
from functools import lru_cache
from typing import Final

_CODE: Final = r"[A-Z][0-9][0-9A-Z](?:\.[0-9A-Z]{1,4})?"
_REFERENCE: Final = re.compile(rf"({_CODE})(?:\.?-({_CODE})|(\.?-))?")
_BRACKETS: Final = re.compile(r"\(([^()]*)\)")


def names_code(note: str, code: str) -> bool:
    """Say whether a note names a code (written without its dot), by itself, a code above it or a range around it."""
    return any(
        first[: len(code)] <= code[: len(first)] and code[: len(last)] <= last for first, last in references(note)
    )


@lru_cache(maxsize=16_384)
def references(note: str) -> tuple[tuple[str, str], ...]:
    """Return the codes in a note's brackets as ranges of codes without dots; a single code is a range of one."""
    found: list[tuple[str, str]] = []
    for text in _BRACKETS.findall(note):
        for match in _REFERENCE.finditer(text):
            first = match[1].replace(".", "")
            found.append((first, (match[2] or match[1]).replace(".", "")))
    return tuple(found)
