"""ConText (Harkema et al. 2009) by medspaCy: who has a finding, whether it is denied, past, possible or only feared.

The rules are ``data/context_rules.json``, written for speech. Each turn is one spaCy document of our own tokens and
sentences on a blank pipeline; no model is loaded. How far a modifier reaches (tokens) stands in a rule's metadata and
is applied here, and so are the rules that TERMINATE: medspaCy 1.3 does not let them cut a scope that was cut before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import Any, Final

from osler.notes.tokens import Token

NEGATED: Final = "NEGATED_EXISTENCE"
POSSIBLE: Final = "POSSIBLE_EXISTENCE"
HISTORICAL: Final = "HISTORICAL"
HYPOTHETICAL: Final = "HYPOTHETICAL"
FAMILY: Final = "FAMILY"


_NEAR: Final = 7
_JOINED_WITHIN: Final = 4
_JOINS: Final = frozenset((",", "or", "and", "nor"))
"""Further on than ``_NEAR`` tokens, a denial reaches only along a list: a joint must stand just before the target."""


@dataclass(frozen=True, slots=True)
class Modifier:
    """A ConText modifier of a target: its category and its words, ``tokens[start:end]``."""

    category: str
    start: int
    end: int


class ConText:
    """Applies the rules to turns; build once, about a tenth of a second after the import of medspaCy."""

    def __init__(self) -> None:
        _quiet()
        import spacy
        from medspacy.context import ConText as MedspacyConText
        from medspacy.context import ConTextRule

        self._nlp = spacy.blank("en")
        self._nlp.tokenizer = _Tokenizer(self._nlp.vocab)
        self._context = MedspacyConText(self._nlp, rules=None, input_span_type="group", span_group_name="targets")
        with as_file(files("osler.engines.grounded").joinpath("data", "context_rules.json")) as path:
            self._context.add(ConTextRule.from_json(path))

    def modifiers(
        self, tokens: Sequence[Token], starts: Sequence[int], targets: Sequence[tuple[int, int, str]]
    ) -> list[list[Modifier]]:
        """Return the modifiers of each target, in the order of ``targets``.

        ``starts`` are the token indices at which sentences start; a target is (first token, end token, label).
        """
        from spacy.tokens import Doc, Span

        first = set(starts)
        words = [token.norm for token in tokens]
        doc = Doc(
            self._nlp.vocab,
            words=words,
            sent_starts=[i in first or i == 0 for i in range(len(tokens))],
        )
        spans = [Span(doc, start, end, label=label) for start, end, label in targets]
        doc.spans["targets"] = spans
        self._context(doc)
        graph = doc._.context_graph
        stops = [m.modifier_span for m in graph.modifiers if m.direction == "TERMINATE"]
        found: dict[tuple[int, int, str], list[Modifier]] = {}
        for target, modifier in graph.edges:
            start, end = modifier.modifier_span
            reach = (modifier.rule.metadata or {}).get("reach", len(tokens))
            if max(target.start - end, start - target.end) > reach or (target.start <= start and end <= target.end):
                continue
            if any((target.end <= s and e <= start) or (end <= s and e <= target.start) for s, e in stops):
                continue
            before = words[max(0, target.start - _JOINED_WITHIN) : target.start]
            if modifier.category == NEGATED and target.start - end > _NEAR and not _JOINS.intersection(before):
                continue
            key = (target.start, target.end, target.label_)
            found.setdefault(key, []).append(Modifier(modifier.category, start, end))
        return [found.get(key, []) for key in targets]


@cache
def context() -> ConText:
    """Return the shared ConText."""
    return ConText()


class _Tokenizer:
    """Our tokens as a spaCy tokenizer, so that rules are cut as the turns are."""

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab

    def __call__(self, text: str) -> Any:
        from spacy.tokens import Doc

        from osler.notes.tokens import tokenize

        return Doc(self._vocab, words=[token.norm for token in tokenize(text)])


def _quiet() -> None:
    """Switch off PyRuSH's log before medspaCy imports it: at DEBUG it prints the text of every sentence."""
    from loguru import logger

    logger.disable("PyRuSH")
