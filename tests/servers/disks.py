"""A disk of a few megabytes, so that a test can fill it: a file system in memory, which only root may mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int, account: str | None = None) -> Iterator[Path]:
    """Mount a disk at ``folder``, owned by ``account``; skip the test where that is not permitted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder.mkdir(parents=True)
    owner = f",uid={account}" if account else ""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700{owner}", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
