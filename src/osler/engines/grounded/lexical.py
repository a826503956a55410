"""The word lists and phrase rules of the rewriting, read once from ``data/rewriting.toml``."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Lexicon:
    """Tables of the data file by name."""

    tables: Mapping[str, Any]
    _rules: dict[str, list[tuple[re.Pattern[str], str]]] = field(default_factory=dict, repr=False, compare=False)
    _expressions: dict[str, re.Pattern[str]] = field(default_factory=dict, repr=False, compare=False)

    def words(self, key: str) -> frozenset[str]:
        """A list of words, lower case."""
        return frozenset(self.tables[key])

    def patterns(self, key: str) -> Sequence[str]:
        """A list of regular expressions."""
        return list(self.tables[key])

    def mapping(self, key: str) -> dict[str, str]:
        """A table from word to word."""
        return dict(self.tables[key])

    def rules(self, key: str) -> list[tuple[re.Pattern[str], str]]:
        """An ordered list of (regular expression, replacement), case ignored."""
        if key not in self._rules:
            self._rules[key] = [(re.compile(find, re.IGNORECASE), replace) for find, replace in self.tables[key]]
        return self._rules[key]

    def any_of(self, key: str) -> re.Pattern[str]:
        """One expression that matches any pattern of the list, case ignored."""
        if key not in self._expressions:
            self._expressions[key] = re.compile("|".join(f"(?:{p})" for p in self.tables[key]), re.IGNORECASE)
        return self._expressions[key]


@cache
def load_lexicon() -> Lexicon:
    """Read the data file."""
    data = files("osler.engines.grounded").joinpath("data", "rewriting.toml").read_text(encoding="utf-8")
    return Lexicon(tomllib.loads(data))
