"""Weights from a local folder: another store, or a snapshot of the upstream repository."""

from pathlib import Path

from osler.kernel.errors import SourceUnavailableError
from osler.kernel.progress import Progress
from osler.weights.model import WeightsEntry, WeightsFile
from osler.weights.partial import CHUNK, size_of
from osler.weights.ports import Sink


class FolderSource:
    """Looks in ``folder/NAME/``, and in ``folder`` itself when every file of the model is there in the right size.

    The second rule is for a folder that holds one model; without its condition, the ``config.json`` of one model would
    be taken for that of another.
    """

    label = "the given folder"

    def __init__(self, folder: Path, entry: WeightsEntry) -> None:
        self._name = entry.name
        self._folder = folder / entry.name
        if not self._folder.is_dir() and all(size_of(folder / file.path) == file.size for file in entry.files):
            self._folder = folder

    def fetch(self, file: WeightsFile, sink: Sink, progress: Progress) -> None:
        """Copy the file from its beginning. Raises SourceUnavailableError when it is not there or not readable."""
        try:
            with (self._folder / file.path).open("rb") as stream:
                sink.restart()
                while chunk := stream.read(CHUNK):
                    sink.write(chunk)
        except FileNotFoundError:
            raise SourceUnavailableError(f"no {self._name}/{file.path} in it") from None
        except OSError as error:
            raise SourceUnavailableError(f"{file.path} cannot be read, {error.strerror}") from error
