"""Sources of weights: a local folder, wheels (in a folder, installed, downloaded), the upstream hub."""

from collections.abc import Iterator
from pathlib import Path

from osler.weights.model import HubPlace, WeightsEntry
from osler.weights.ports import Source
from osler.weights.sources.folder import FolderSource
from osler.weights.sources.hub import HubSource
from osler.weights.sources.wheel import DownloadedWheels, InstalledWheels, WheelsInFolder


def sources_of(entry: WeightsEntry, folder: Path | None, wheels: Path) -> Iterator[Source]:
    """Yield the sources of a model in the order in which they are tried.

    ``folder`` is the one that the operator named; ``wheels`` is where downloaded wheels are kept until the model is
    complete.
    """
    if folder is not None:
        yield FolderSource(folder, entry)
    for place in entry.places:
        if isinstance(place, HubPlace):
            yield HubSource(place.url)
            continue
        if folder is not None:
            yield WheelsInFolder(place, folder)
        yield InstalledWheels(place)
        yield DownloadedWheels(place, wheels)
