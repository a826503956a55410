"""A deployment with visits that a real process serves, and requests to it byte by byte."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.contract.public.contract import refusal
from tests.contract.public.lab import Lab, Visit, opened_lab
from tests.server_lab import Server


@dataclass(frozen=True)
class Answer:
    """What came back over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The reason code; the answer is an error of the contract's form."""
        return refusal(self.status, self.headers.get("content-type", ""), json.loads(self.body))


@dataclass(frozen=True)
class Live:
    """A served deployment, its key, and a visit that the key opens."""

    server: Server
    organization_id: str
    key: str
    visit: Visit
    foreign: Visit

    def send(self, request: bytes) -> Answer:
        """Send these bytes and read one answer to its end."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=180) as connection:
            connection.sendall(request)
            received = b""
            while piece := connection.recv(1 << 16):
                received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        assert first.startswith("HTTP/1.1 "), received[:200]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(int(first.split()[1]), headers, body)

    def ask(
        self, target: bytes | str, *headers: bytes, method: bytes = b"GET", key: bool = True, body: bytes = b""
    ) -> Answer:
        """Send a request for this target as it is, with the key unless told otherwise."""
        target = target.encode() if isinstance(target, str) else target
        carried = [b"Host: osler", b"Connection: close", *headers]
        if key:
            carried.append(b"Authorization: Bearer " + self.key.encode())
        if body:
            carried.append(b"Content-Length: %d" % len(body))
        return self.send(b"%b %b HTTP/1.1\r\n%b\r\n\r\n%b" % (method, target, b"\r\n".join(carried), body))


def now_in_a_thread(work: Callable[[], Awaitable[Any]]) -> Any:
    """Do asynchronous work in an event loop of its own, whatever loop the caller may be in."""

    async def run() -> Any:
        return await work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


@contextmanager
def served(folder: Path) -> Iterator[Live]:
    """Have visits come in, close the deployment, and serve it by a process of its own."""

    async def fill() -> tuple[str, str, Visit, Visit]:
        async with opened_lab(folder) as lab:
            return await _filled(lab)

    organization_id, key, visit, foreign = now_in_a_thread(fill)
    server = Server(
        folder / "data",
        "--no-worker",
        log=folder / "server.log",
        environment={"OSLER_PUBLIC_REQUESTS_PER_MINUTE": "0"},
    )
    with server:
        yield Live(server, organization_id, key, visit, foreign)


async def _filled(lab: Lab) -> tuple[str, str, Visit, Visit]:
    await lab.open_all()
    clinic, other = await lab.clinic(), await lab.clinic("Other clinic")
    visit = await clinic.whole(patient={"name": "Zebulon Quillfeather", "dob": "1950-02-28"})
    foreign = await other.heard()
    return clinic.organization.id, await lab.key(clinic), visit, foreign
