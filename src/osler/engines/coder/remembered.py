"""A terminology that remembers what was looked up: notes ask for the same codes again and again."""

from functools import lru_cache
from typing import Final

from osler.coding.terminology import Code, CodeMatch, Installed, Synonym, Terminology

_MOST: Final = 16_384


class RememberedTerminology:
    """Implements ``Terminology`` by another one."""

    def __init__(self, terminology: Terminology) -> None:
        self._terminology = terminology
        self._find = lru_cache(_MOST)(terminology.find)
        self._children = lru_cache(_MOST)(terminology.children)
        self._unspecified = lru_cache(_MOST)(terminology.unspecified)
        self._excludes1 = lru_cache(_MOST)(terminology.excludes1)

    def is_of(self, terminology: Terminology) -> bool:
        """Say whether it remembers this terminology."""
        return self._terminology is terminology

    @property
    def system(self) -> str:
        return self._terminology.system

    @property
    def version(self) -> str:
        return self._terminology.version

    @property
    def licence(self) -> str:
        return self._terminology.licence

    @property
    def about(self) -> Installed:
        return self._terminology.about

    def find(self, code: str) -> Code | None:
        return self._find(code)

    def search(self, text: str, limit: int = 10, *, billable: bool = True) -> list[CodeMatch]:
        return self._terminology.search(text, limit, billable=billable)

    def children(self, code: str) -> tuple[str, ...]:
        return self._children(code)

    def ancestors(self, code: str) -> tuple[str, ...]:
        return self._terminology.ancestors(code)

    def synonyms(self, code: str) -> tuple[Synonym, ...]:
        return self._terminology.synonyms(code)

    def unspecified(self, code: str) -> str | None:
        return self._unspecified(code)

    def excludes1(self, code_a: str, code_b: str) -> bool:
        return self._excludes1(code_a, code_b)
