"""How good the words of live segments are: a visit in pieces of 10 s, each heard in haste by itself.

``python -m osler_evals.live_words --data visits [--seconds 10] [--careful] [NAME...]`` hears the recordings of a folder
as ``osler eval speech`` takes it, piece by piece, and scores what all pieces of a visit say together. Words that a cut
goes through count as errors. ``--careful`` hears each piece as a whole recording is heard: what haste costs is the
difference. "work" is processor seconds for one piece, the loading of models not counted.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from osler.audio.decode import open_recording
from osler.audio.model import SAMPLE_RATE, Samples
from osler.bootstrap import speech_service
from osler.kernel.errors import NoSpeechError
from osler.speech.service import SpeechService
from osler_evals.recording_client import load
from osler_evals.speech_eval import Reference, read_references
from osler_evals.speech_scores import RoleHits, Said, WordErrors, role_hits, word_errors
from osler_evals.tables import Column, table

SECONDS: Final = 10.0


class Piece:
    """Samples that are decoded already, as a sound."""

    truncated = False
    warnings: tuple[str, ...] = ()

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self.seconds = 0.0
        self.declared: float | None = len(samples) / SAMPLE_RATE

    def __iter__(self) -> Iterator[Samples]:
        self.seconds = len(self._samples) / SAMPLE_RATE
        yield self._samples


@dataclass(frozen=True, slots=True)
class LiveScores:
    """Word errors and roles of what was heard of a visit in ``pieces``, and the processor ``seconds`` that took."""

    words: WordErrors
    roles: RoleHits
    pieces: int
    seconds: float

    def __add__(self, more: "LiveScores") -> "LiveScores":
        return LiveScores(
            self.words + more.words,
            self.roles + more.roles,
            self.pieces + more.pieces,
            self.seconds + more.seconds,
        )


def hear_in_pieces(speech: SpeechService, reference: Reference, seconds: float, *, careful: bool) -> LiveScores:
    """Score one visit heard in pieces."""
    samples = np.concatenate(list(open_recording(reference.audio)))
    size = round(seconds * SAMPLE_RATE)
    heard: list[Said] = []
    began = time.process_time()
    for start in range(0, len(samples), size):
        piece, at = Piece(samples[start : start + size]), start / SAMPLE_RATE
        try:
            transcript = speech.transcribe(piece) if careful else speech.glance(piece)
        except NoSpeechError:
            continue
        heard += [Said(t.speaker, t.heard, at + (t.start or 0.0), at + (t.end or 0.0)) for t in transcript.turns]
    taken = time.process_time() - began
    said = " ".join(turn.text for turn in reference.turns)
    return LiveScores(
        words=word_errors(said, " ".join(turn.text for turn in heard)),
        roles=role_hits(reference.turns, heard),
        pieces=-(-len(samples) // size),
        seconds=taken,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recordings of the folder; all by default")
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings with their turns")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of a piece")
    parser.add_argument("--model", default="base")
    parser.add_argument("--careful", action="store_true", help="hear each piece as a whole recording is heard")
    parser.add_argument("-o", "--output", type=Path, help="also write the figures as JSON here")
    given = parser.parse_args(arguments)
    references, _ = read_references(given.data)
    chosen = [reference for reference in references if not given.names or reference.name in given.names]
    if not chosen:
        parser.error("none of these recordings is in the folder")
    before, speech = load(), speech_service(given.model)
    speech.load()
    rows = {each.name: hear_in_pieces(speech, each, given.seconds, careful=given.careful) for each in chosen}
    first, *rest = rows.values()
    total = first
    for scores in rest:
        total = total + scores
    columns: list[Column[LiveScores]] = [
        Column("WER %", lambda s: f"{100 * s.words.rate:.1f}"),
        Column("wrong", lambda s: f"{s.words.substitutions}"),
        Column("missing", lambda s: f"{s.words.deletions}"),
        Column("invented", lambda s: f"{s.words.insertions}"),
        Column("of", lambda s: f"{s.words.words}"),
        Column("roles %", lambda s: f"{100 * s.roles.accuracy:.1f}"),
        Column("work s", lambda s: f"{s.seconds / s.pieces:.2f}"),
    ]
    how = "carefully" if given.careful else "in haste"
    print(
        table(
            f"Pieces of {given.seconds:g} s heard {how}, model {given.model}",
            "",
            columns,
            [*rows.items(), ("all", total)],
        )
    )
    print(f"load {before} before, {load()} after")
    if given.output:
        figures = {name: asdict(scores) for name, scores in {**rows, "all": total}.items()}
        given.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
