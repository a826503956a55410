"""Trains the language model of speaker roles: ``python -m osler_evals.train_roles --data DIR [-o FILE]``.

Reproducible: fixed order, deterministic solver, no sampling. Prints the accuracy on held-out dialogues.
"""

import argparse
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from osler.speech.roles import LinearModel, change_features, parse_models, sentence_features, sentences_of
from osler_evals.dialogues import CLINICIAN, RELATIVE, Dialogue, notes, read_dialogues

HEADER = """\
# Language models of speaker roles and of turn changes: logistic regressions, written by osler_evals.train_roles.
# Form: "@name bias step" opens a model; each line after it is an integer weight (times step), then its features.
# Learned from the training parts of (all CC BY 4.0, https://creativecommons.org/licenses/by/4.0/; changed: only
# word weights are kept, no text):
#   ACI-BENCH: Yim et al. 2023, Scientific Data 10:586, doi:10.1038/s41597-023-02487-3
#   MTS-Dialog: Ben Abacha et al. 2023, EACL, doi:10.18653/v1/2023.eacl-main.168
#   OSCE interviews: Fareez et al. 2022, Scientific Data 9:313, doi:10.1038/s41597-022-01423-1
#   PriMock57: Papadopoulos Korfiatis et al. 2022, ACL, doi:10.18653/v1/2022.acl-short.65
# and from phrases of the examination written for Osler (Apache-2.0).
# Licence of this file: CC BY 4.0.
"""

PHRASE_WEIGHT = 3.0
DICTATION_WEIGHT = 0.2
"""Weights of the added sentences where a sentence of a dialogue weighs 1; set on the held-out dialogues."""

Example = tuple[list[str], int, float]  # features, label, weight


def _bare(words: Sequence[str]) -> list[str]:
    return [re.sub(r"[^\w'’-]", "", word).lower() for word in words]


def role_examples(dialogues: Sequence[Dialogue], positive: str, negative: Sequence[str]) -> list[Example]:
    """Make sentences of the ``positive`` (1) and ``negative`` (0) speakers, with and without punctuation."""
    examples: list[Example] = []
    for dialogue in dialogues:
        for turn in dialogue.utterances:
            if turn.speaker != positive and turn.speaker not in negative:
                continue
            label = int(turn.speaker == positive)
            for words in sentences_of(turn.text):
                examples.append((sentence_features(words), label, 0.75))
                examples.append((sentence_features(_bare(words)), label, 0.25))
    return examples


def written_examples(data: Path) -> list[Example]:
    """Make clinician sentences (1) of phrases of the examination and, lightly, of notes as clinicians dictate them."""
    phrases = resources.files("osler_evals").joinpath("data/examination_phrases.txt").read_text("utf-8").splitlines()
    said = [(phrase.split(), PHRASE_WEIGHT) for phrase in phrases if phrase and not phrase.startswith("#")]
    for note in notes(data):
        said += [(words, DICTATION_WEIGHT) for words in sentences_of(" ".join(note.split()))]
    return [(features, 1, weight / 2) for words, weight in said for features in _both_ways(words)]


def _both_ways(words: Sequence[str]) -> list[list[str]]:
    return [sentence_features(words), sentence_features(_bare(words))]


def change_examples(dialogues: Sequence[Dialogue]) -> list[Example]:
    """Make sentence borders: 1 where another person speaks next, 0 where the same person goes on."""
    examples: list[Example] = []
    for dialogue in dialogues:
        said = [(turn.speaker, words) for turn in dialogue.utterances for words in sentences_of(turn.text)]
        for (left, before), (right, after) in itertools.pairwise(said):
            examples.append((change_features(before, after), int(left != right), 1.0))
    return examples


def train(examples: Sequence[Example], *, strength: float, keep: int, minimum: int, balanced: bool) -> LinearModel:
    """Fit a logistic regression, keep its ``keep`` weightiest features, refit on those alone."""
    counts = Counter(feature for features, _, _ in examples for feature in features)
    allowed = {feature for feature, count in counts.items() if count >= minimum}
    for final in (False, True):
        rows = [{f: 1.0 for f in features if f in allowed} for features, _, _ in examples]
        vectorizer = DictVectorizer(sparse=True, dtype=np.float32)
        matrix = vectorizer.fit_transform(rows)
        model = LogisticRegression(C=strength, max_iter=400, class_weight="balanced" if balanced else None)
        model.fit(matrix, [label for _, label, _ in examples], [weight for _, _, weight in examples])
        names, weights = vectorizer.get_feature_names_out(), model.coef_[0]
        if not final:
            worth = {n: abs(w) * counts[n] ** 0.5 for n, w in zip(names, weights, strict=True)}
            allowed = set(sorted(worth, key=lambda n: (-worth[n], n))[:keep])
    return LinearModel(float(model.intercept_[0]), dict(zip(names.tolist(), weights.tolist(), strict=True)))


def written(name: str, model: LinearModel) -> str:
    """Return a model in the form of the data file, weights rounded to 127 steps each side of zero."""
    step = max(map(abs, model.weights.values())) / 127
    groups: dict[int, list[str]] = defaultdict(list)
    for feature, weight in sorted(model.weights.items()):
        if value := round(weight / step):
            groups[value].append(feature)
    lines = [f"@{name} {model.bias:.4f} {step:.6f}"]
    lines += ["\t".join([str(value), *groups[value]]) for value in sorted(groups)]
    return "\n".join(lines) + "\n"


def _accuracy(model: LinearModel, examples: Sequence[Example]) -> str:
    scores = np.array([model.score(features) for features, _, _ in examples])
    labels = np.array([label for _, label, _ in examples])
    if not len(labels):
        return "no examples"
    loss = np.mean(np.logaddexp(0, np.where(labels == 1, -scores, scores)))
    return f"{len(labels)} examples, accuracy {np.mean((scores > 0) == labels):.3f}, log loss {loss:.3f}"


def main() -> None:
    """Train, write the data file, print what the file as written scores on held-out dialogues."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("src/osler/speech/data/roles.tsv"))
    arguments = parser.parse_args()
    dialogues = read_dialogues(arguments.data)
    seen = [d for d in dialogues if not d.held_out]
    unseen = [d for d in dialogues if d.held_out]
    text = HEADER
    everyone = ("patient", RELATIVE)
    role = role_examples(seen, CLINICIAN, everyone) + written_examples(arguments.data)
    text += written("role", train(role, strength=0.3, keep=11000, minimum=4, balanced=True))
    text += written(
        "relative",
        train(role_examples(seen, RELATIVE, ("patient",)), strength=0.3, keep=1500, minimum=4, balanced=True),
    )
    text += written("change", train(change_examples(seen), strength=0.3, keep=3500, minimum=8, balanced=False))
    arguments.output.write_text(text, "utf-8")
    shipped = parse_models(text)
    print(f"{arguments.output.name}: {len(text.encode())} bytes; held out: {len(unseen)} of {len(dialogues)} dialogues")
    for source in ("aci-bench", "mts-dialog", "osce", "primock57"):
        part = [d for d in unseen if d.source == source]
        print(f"  {source:10}  role: {_accuracy(shipped['role'], role_examples(part, CLINICIAN, everyone))}")
        print(f"  {'':10}  change: {_accuracy(shipped['change'], change_examples(part))}")
    print(f"  {'all':10}  relative: {_accuracy(shipped['relative'], role_examples(unseen, RELATIVE, ('patient',)))}")


if __name__ == "__main__":
    main()
