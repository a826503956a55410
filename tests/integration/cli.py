"""The command line as its user has it: a separate process, its two streams and its exit code."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finished:
    """What a finished command left."""

    code: int
    out: str
    err: str

    def is_one_clear_line(self) -> bool:
        return self.err.startswith("osler: ") and self.err.count("\n") == 1 and "Traceback" not in self.err


def osler(*args: str | Path, cwd: Path | None = None, stdin: bytes | None = None, timeout: float = 600) -> Finished:
    """Run ``osler`` with ``args`` and wait for it."""
    command = [sys.executable, "-m", "osler", *map(str, args)]
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, timeout=timeout, check=False)
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())
