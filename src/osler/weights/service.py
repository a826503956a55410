"""The store of model weights: what is there, pulling it, verifying it, and the folder that an engine loads from.

In the store's folder every model has a folder of its name with the files of the lock file. What is arriving lies in
``.incoming``; a file gets its final name only after its SHA-256 was found right.
"""

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from osler.kernel.errors import (
    OutputError,
    SourceUnavailableError,
    UnknownNameError,
    UnreadableFileError,
    WeightsError,
    WeightsMissingError,
    WrongDigestError,
)
from osler.kernel.progress import Progress, silent
from osler.weights.lock import read_lock, shipped_lock
from osler.weights.model import FileCheck, Pulled, State, WeightsEntry, WeightsFile
from osler.weights.partial import CHUNK, PartialFile, TooLongError, size_of, writing
from osler.weights.ports import Source
from osler.weights.sources import sources_of
from osler.weights.stamp import Stamp, Stamped

_MB = 1_000_000


class WeightsStore:
    """The weights in one folder, as a lock file wants them: the one that comes with Osler, or ``lock_file``.

    Safe to use from several processes at once. Raises WeightsError when ``lock_file`` is not a lock file.
    """

    def __init__(self, folder: Path, lock_file: Path | None = None) -> None:
        self.folder = folder
        self.entries: tuple[WeightsEntry, ...] = shipped_lock() if lock_file is None else read_lock(lock_file)

    def entry(self, name: str) -> WeightsEntry:
        """Return the entry of that name. Raises UnknownNameError, which lists the names that there are."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        names = ", ".join(entry.name for entry in self.entries)
        raise UnknownNameError(f"There is no model of that name. Models: {names}.")

    def state(self, name: str) -> State:
        """Say how a model stands, from names, sizes and the stamp of the last verification; no bytes are read."""
        entry = self.entry(name)
        folder = self.folder / name
        sizes = [size_of(folder / file.path) for file in entry.files]
        if not any(size is not None for size in sizes):
            return State.MISSING
        if sizes != [file.size for file in entry.files]:
            return State.INCOMPLETE
        stamp = Stamp.read(folder)
        return State.PRESENT if all(stamp.covers(folder, file) for file in entry.files) else State.UNVERIFIED

    def locate(self, name: str) -> Path:
        """Return the folder of a model whose digests are right, for an engine to load from.

        Cheap when the files have not changed since they were verified; otherwise they are verified now, which reads
        them whole. Raises UnknownNameError, WeightsMissingError naming the command that pulls the model, and
        WrongDigestError.
        """
        state = self.state(name)
        if state is State.UNVERIFIED:
            for check in self.verify(name):
                if not check.right:
                    raise WrongDigestError(
                        f"{name}/{check.path} in the model store is refused: its SHA-256 is {check.found}, the lock "
                        f"file says {check.expected}. Get it anew with: osler models pull {name}"
                    )
            state = State.PRESENT
        if state is not State.PRESENT:
            how = "not in the model store" if state is State.MISSING else "not complete in the model store"
            raise WeightsMissingError(f"The weights {name} are {how}. Get them with: osler models pull {name}")
        return self.folder / name

    def verify(self, name: str, progress: Progress = silent) -> tuple[FileCheck, ...]:
        """Read every file of a model and compare its SHA-256 with the lock file; remember it when all are right.

        Raises UnknownNameError, and UnreadableFileError when a file is there but cannot be read.
        """
        entry = self.entry(name)
        folder = self.folder / name
        found: dict[str, Stamped] = {}
        done = 0
        for file in entry.files:
            stamped = _hash(folder / file.path, f"Verifying {name}", done, entry.size, progress)
            if stamped is not None:
                found[file.path] = stamped
            done += file.size
        checks = tuple(
            FileCheck(file.path, file.sha256, found[file.path].sha256 if file.path in found else None)
            for file in entry.files
        )
        # A store may be read-only; then every start verifies anew, which is slower but no less right.
        with contextlib.suppress(OSError):
            if all(check.right for check in checks):
                Stamp(found).write(folder)
            else:
                Stamp.remove(folder)
        return checks

    def pull(self, name: str, *, folder: Path | None = None, progress: Progress = silent) -> Pulled:
        """Bring the files of a model that are missing or wrong, from ``folder`` first and then as the lock file says.

        Takes up what an interrupted pull left, and waits for another pull of the same model. Raises UnknownNameError;
        UnreadableFileError when ``folder`` is not a folder; WrongDigestError, after which the wrong bytes are gone;
        SourceUnavailableError when no source has a file; OutputError when the store has no room or may not be written.
        """
        entry = self.entry(name)
        if folder is not None and not folder.is_dir():
            raise UnreadableFileError("The folder to take weights from does not exist or is not a folder.")
        if self.state(name) is State.PRESENT:
            return Pulled(name)
        incoming = self.folder / ".incoming" / name
        with writing():
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            incoming.mkdir(parents=True, exist_ok=True)
        with _alone(incoming.with_name(f"{name}.lock"), name, progress):
            return self._pull(entry, folder, incoming, progress)

    def _pull(self, entry: WeightsEntry, given: Path | None, incoming: Path, progress: Progress) -> Pulled:
        folder = self.folder / entry.name
        stamped: dict[str, Stamped] = {}
        for file in entry.files:
            if size_of(folder / file.path) == file.size:
                found = _hash(folder / file.path, f"Verifying {entry.name}", 0, file.size, progress)
                if found is not None and found.sha256 == file.sha256:
                    stamped[file.path] = found
        missing = [file for file in entry.files if file.path not in stamped]
        self._check_room(entry, sum(file.size for file in missing))
        sources = tuple(sources_of(entry, given, incoming / "wheels"))
        labels: dict[str, str] = {}
        done = entry.size - sum(file.size for file in missing)
        with writing():
            incoming.mkdir(parents=True, exist_ok=True)
        try:
            for file in missing:
                labels[file.path], stamped[file.path] = self._fetch(entry, file, sources, incoming, done, progress)
                done += file.size
        except WrongDigestError:
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        with writing():
            Stamp(stamped).write(folder)
        shutil.rmtree(incoming, ignore_errors=True)
        return Pulled(entry.name, tuple(labels), tuple(dict.fromkeys(labels.values())))

    def _fetch(
        self,
        entry: WeightsEntry,
        file: WeightsFile,
        sources: tuple[Source, ...],
        incoming: Path,
        done: int,
        progress: Progress,
    ) -> tuple[str, Stamped]:
        """Bring one file from the first source that has it; return the source's label and how the file stands."""
        refusals: list[str] = []

        def report(received: int) -> None:
            progress(f"Pulling {entry.name}", done + received, entry.size)

        for source in sources:
            path = incoming / f"{file.path}.part"
            try:
                for _ in range(2):
                    with PartialFile(path, file.size, report) as partial:
                        length = _fill(partial, source, file, progress)
                        if length == file.size and partial.sha256 == file.sha256:
                            status = partial.move_to(self.folder / entry.name / file.path)
                            return source.label, Stamped(file.sha256, status.st_size, status.st_mtime_ns)
                        resumed, found = partial.resumed, partial.sha256
                    path.unlink()
                    # The beginning came from an earlier attempt: it may be that which is wrong.
                    if not resumed:
                        break
            except SourceUnavailableError as error:
                refusals.append(f"{source.label}: {error}")
                continue
            what = f"it is longer than {file.size} bytes" if length is None else f"its SHA-256 is {found}"
            raise WrongDigestError(
                f"{entry.name}/{file.path} from {source.label} is refused: {what}, the lock file says {file.sha256}. "
                "Nothing of it was kept; try another source with --from FOLDER."
            )
        reasons = "; ".join(refusals) or "the lock file names no source, give a folder with --from"
        raise SourceUnavailableError(
            f"{entry.name}/{file.path} could not be pulled ({reasons}). What has arrived is kept: "
            "pull again, or give a folder that holds it with --from FOLDER."
        )

    def _check_room(self, entry: WeightsEntry, needed: int) -> None:
        with writing():
            free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise OutputError(
                f"{entry.name} needs {needed / _MB:.0f} MB and the model store has {free / _MB:.0f} MB left. "
                "Free space there, or name another folder in OSLER_MODELS, and pull again."
            )


def _fill(partial: PartialFile, source: Source, file: WeightsFile, progress: Progress) -> int | None:
    """Let the source write the file; return how many bytes there are then, None when there are too many."""
    try:
        source.fetch(file, partial, progress)
    except TooLongError:
        return None
    return partial.received


def _hash(path: Path, what: str, done: int, total: int, progress: Progress) -> Stamped | None:
    """Return the digest of a file and how it stood when its bytes were read, None when it is not there."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            status = path.stat()
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                done += len(chunk)
                progress(what, done, total)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableFileError(f"{path.name} in the model store cannot be read: {error.strerror}.") from error
    return Stamped(digest.hexdigest(), status.st_size, status.st_mtime_ns)


@contextlib.contextmanager
def _alone(lock: Path, name: str, progress: Progress) -> Iterator[None]:
    """Hold the lock of one model's pull; the system frees it when the process ends, however it ends."""
    with writing():
        stream = lock.open("ab")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting = f"Waiting for another pull of {name}"
            progress(waiting, 0, None)
            fcntl.flock(stream, fcntl.LOCK_EX)
            progress(waiting, 1, 1)
        except OSError as error:
            raise WeightsError(
                f"The file system of the model store cannot lock files: {error.strerror}. "
                "Name a folder on a local disk in OSLER_MODELS."
            ) from error
        yield
