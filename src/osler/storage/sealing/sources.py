"""Where the master key and the digest key come from: a file, a value of the environment, a command that prints it."""

import os
import secrets
import shlex
import signal
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from osler.kernel.errors import MasterKeyError
from osler.storage.sealing.keys import KEY_SIZE, MasterKey, parse_key

_MOST: Final = 4096
"""Bytes of a key's text, with line ends and blanks; what is longer is no key."""


@dataclass(frozen=True, slots=True)
class SecretName:
    """What a secret is called in messages, and the setting that it can be given by (also with _FILE and _COMMAND)."""

    label: str
    setting: str


MASTER_KEY: Final = SecretName("master key", "OSLER_MASTER_KEY")
DIGEST_KEY: Final = SecretName("digest key", "OSLER_DIGEST_KEY")


class SecretSource(Protocol):
    """Gives one secret of 32 bytes."""

    @property
    def name(self) -> SecretName:
        """What the secret is called."""
        ...

    def exists(self) -> bool:
        """Say whether the source has been set up. It may still fail to load."""
        ...

    def load(self) -> bytes:
        """Return the secret. Raises MasterKeyError with what to do."""
        ...

    def create(self) -> bytes:
        """Return the secret; make one first if this source can keep it and has none. Raises MasterKeyError."""
        ...


@dataclass(frozen=True, slots=True)
class FileSecret:
    """A file that its owner alone may read, made at first start."""

    name: SecretName
    path: Path

    def exists(self) -> bool:
        """Say whether the file is there."""
        return os.path.lexists(self.path)

    def load(self) -> bytes:
        """Read the file. Raises MasterKeyError if it is missing, unreadable, open to others, or no key."""
        label = self.name.label
        try:
            # Without waiting: a pipe in the file's place has nobody who writes to it.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(_MOST) if stat.S_ISREG(mode) else b""
        except FileNotFoundError:
            raise MasterKeyError(
                f"The {label} file {self.path} is missing; put it back or set {self.name.setting}_FILE. "
                "Without it the data cannot be opened."
            ) from None
        except OSError:
            raise MasterKeyError(
                f"The {label} file {self.path} cannot be read; check its owner and permissions."
            ) from None
        if stat.S_IMODE(mode) & 0o077:
            raise MasterKeyError(f"Others may read the {label} file; run: chmod 600 {shlex.quote(str(self.path))}")
        return parse_key(text.decode("ascii", "replace"), label)

    def create(self) -> bytes:
        """Read the file, or write one with a new random key.

        The file appears whole or not at all, and of two processes that start at once, one makes it and both read it.
        """
        if not self.exists():
            try:
                self._write(os.urandom(KEY_SIZE).hex() + "\n")
            except OSError:
                raise MasterKeyError(
                    f"The {self.name.label} file {self.path} cannot be written; check the folder and the disk."
                ) from None
        return self.load()

    def _write(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(new, self.path)
            except FileExistsError:
                return  # another process was first: its key holds
        finally:
            new.unlink(missing_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@dataclass(frozen=True, slots=True)
class ValueSecret:
    """A value that the environment gave. It cannot be made here."""

    name: SecretName
    value: str = field(repr=False)

    def exists(self) -> bool:
        """Say whether a value was given."""
        return bool(self.value.strip())

    def load(self) -> bytes:
        """Return the value. Raises MasterKeyError if it is empty or no key."""
        if not self.exists():
            raise MasterKeyError(
                f"There is no {self.name.label}; set {self.name.setting}, or {self.name.setting}_FILE, "
                f"or {self.name.setting}_COMMAND."
            )
        return parse_key(self.value, self.name.label)

    def create(self) -> bytes:
        """Return the value. Raises MasterKeyError."""
        return self.load()


@dataclass(frozen=True, slots=True)
class CommandSecret:
    """A command that prints the secret, for a key service or a password store. Its output is never kept or logged.

    A text is split into words as a shell would, and run without one: ``sh -c '...'`` if a shell is wanted.
    """

    name: SecretName
    command: str | Sequence[str] = field(repr=False)
    timeout: float = 30.0
    """Seconds."""

    def exists(self) -> bool:
        """Say whether a command was given."""
        return bool(self.command)

    def load(self) -> bytes:
        """Run the command. Raises MasterKeyError if it cannot be run, fails, takes too long or prints no key."""
        label = self.name.label
        try:
            words = shlex.split(self.command) if isinstance(self.command, str) else list(self.command)
        except ValueError:
            words = []
        if not words:
            raise MasterKeyError(f"{self.name.setting}_COMMAND is not a command; write it as in a shell.")
        by_hand = "run it by hand to see why."
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            raise MasterKeyError(f"The command that prints the {label} cannot be run; {by_hand}") from None
        with process:
            try:
                output, _ = process.communicate(timeout=self.timeout)
            except subprocess.TimeoutExpired:
                raise MasterKeyError(
                    f"The command that prints the {label} took longer than {self.timeout:g} s; {by_hand}"
                ) from None
            finally:
                # The whole group: a shell's children would keep the pipe open.
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            raise MasterKeyError(
                f"The command that prints the {label} failed with exit code {process.returncode}; {by_hand}"
            )
        return parse_key(output[:_MOST].decode("ascii", "replace"), label)

    def create(self) -> bytes:
        """Run the command. Raises MasterKeyError."""
        return self.load()


def secret_source(
    name: SecretName, *, file: Path, value: str | None = None, command: str | None = None
) -> SecretSource:
    """Return where a secret is to be had from: the value or the command if one was set, else the file.

    Raises MasterKeyError if both were set: which one holds must not be a guess.
    """
    if value and command:
        raise MasterKeyError(f"Both {name.setting} and {name.setting}_COMMAND are set; keep one of them.")
    if command:
        return CommandSecret(name, command)
    return ValueSecret(name, value) if value else FileSecret(name, file)


def load_key(source: SecretSource, *, create: bool = False) -> MasterKey:
    """Return the master key of ``source``; with ``create`` a file is made if there is none.

    ``create`` is for a deployment without data: a new key beside old data opens none of it. Raises MasterKeyError.
    """
    return MasterKey(source.create() if create else source.load())
