"""A door for the fault tests: the core behind a few plain routes, as a process that can be killed.

The scribe API is that door for everybody else; here one route is one service call, so that what is lost or doubled is
the core's doing. ``--kill`` ends the process by SIGKILL at a chosen instant: ``before-commit:3``, ``after-commit:3``
(the third write transaction of this process) or ``after-store:2`` (the second blob, before its row).
"""

import argparse
import asyncio
import faulthandler
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request

from osler import logs
from osler.api.app import create_app
from osler.audit.model import Actor, ActorKind
from osler.bootstrap import Core, open_core
from osler.encounters.model import EncounterPatient
from osler.kernel.errors import ConflictError, NotFoundError, OslerError
from osler.kernel.jobs import JobState
from osler.storage.blobs.vault import SealedBlobVault
from osler.storage.database import SqlDatabase

PATIENT_NAME = "Zebedee Quillfeather"
PATIENT_DETAILS = "lighthouse keeper of Skerryvore"
EHR_PATIENT_ID = "EHR-PATIENT-58213"
CLINICIAN_NOTE = "worries about his albatross"
"""Made up, and to be found nowhere in plain text."""

CLIENT = Actor(ActorKind.USER, "client", "127.0.0.1")


def routes(core: Core) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(OslerError)
    async def refuse(request: Request, error: OslerError) -> Any:
        status = 404 if isinstance(error, NotFoundError) else 409 if isinstance(error, ConflictError) else 503
        raise HTTPException(status, type(error).__name__)

    @app.post("/{organization}/{owner}/encounters")
    async def create(organization: str, owner: str) -> dict[str, str]:
        encounter = await core.encounters.create(
            CLIENT,
            organization,
            owner,
            patient=EncounterPatient(name=PATIENT_NAME, demographic_details=PATIENT_DETAILS),
            ehr_patient_id=EHR_PATIENT_ID,
            clinician_notes=(CLINICIAN_NOTE,),
        )
        return {"encounter": encounter.id}

    @app.post("/{organization}/encounters/{encounter}/recordings")
    async def start(organization: str, encounter: str) -> dict[str, str]:
        recording = await core.audio.start_recording(CLIENT, organization, encounter)
        return {"recording": recording.id}

    @app.put("/{organization}/encounters/{encounter}/recordings/{recording}/segments/{index}")
    async def segment(
        request: Request, organization: str, encounter: str, recording: str, index: int
    ) -> dict[str, Any]:
        stored, created = await core.audio.add_segment(
            CLIENT, organization, encounter, recording, index, request.stream()
        )
        return {"segment": stored.id, "created": created}

    @app.post("/{organization}/encounters/{encounter}/recordings/{recording}/finish")
    async def finish(organization: str, encounter: str, recording: str) -> dict[str, Any]:
        _, missing = await core.audio.finish(CLIENT, organization, encounter, recording)
        return {"missing": list(missing)}

    @app.post("/{organization}/encounters/{encounter}/upload")
    async def upload(request: Request, organization: str, encounter: str) -> dict[str, str]:
        recording, _ = await core.audio.upload(
            CLIENT, organization, encounter, request.stream(), media_type="audio/wav"
        )
        return {"recording": recording.id}

    @app.post("/{organization}/encounters/{encounter}/note")
    async def note(organization: str, encounter: str) -> dict[str, str]:
        version = await core.notes.request(CLIENT, organization, encounter)
        return {"note": version.id}

    @app.post("/{organization}/encounters/{encounter}/sign/{user}")
    async def sign(organization: str, encounter: str, user: str) -> dict[str, str]:
        return {"state": (await core.release.sign(CLIENT, organization, encounter, user)).state.value}

    @app.get("/{organization}/encounters/{encounter}")
    async def show(organization: str, encounter: str) -> dict[str, Any]:
        transcript = await core.transcripts.current(organization, encounter)
        written = await core.notes.current(organization, encounter)
        return {
            "state": (await core.encounters.get(organization, encounter)).state.value,
            "turns": len(transcript.transcript.turns) if transcript else None,
            "note": written.status.value if written else None,
            "stale": written.stale if written else None,
        }

    @app.get("/{organization}/work")
    async def work(organization: str) -> dict[str, int]:
        left = (JobState.QUEUED, JobState.RUNNING)
        return {"left": sum(n for (_, state), n in (await core.jobs.counts()).items() if state in left)}

    return app


class Killer:
    """Ends this process at the chosen instant, as a power cut would: no clean-up runs."""

    def __init__(self, instant: str | None) -> None:
        self._what, _, number = (instant or "never:0").partition(":")
        self._left = int(number)

    def reached(self, what: str) -> None:
        if what == self._what:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(killer: Killer) -> None:
    """Put the killer into every write transaction and every stored blob of this process."""
    write: Callable[[SqlDatabase], Any] = SqlDatabase.write
    store: Callable[..., Any] = SealedBlobVault.store

    @asynccontextmanager
    async def killing_write(self: SqlDatabase) -> AsyncIterator[Any]:
        async with write(self) as transaction:
            yield transaction
            killer.reached("before-commit")
        killer.reached("after-commit")

    async def killing_store(self: SealedBlobVault, *args: Any, **kwargs: Any) -> Any:
        blob = await store(self, *args, **kwargs)
        killer.reached("after-store")
        return blob

    SqlDatabase.write = killing_write  # type: ignore[method-assign]
    SealedBlobVault.store = killing_store  # type: ignore[method-assign]


async def run(port: int, *, execute: bool, kill: str | None) -> None:
    async with open_core(execute=execute, apply_ledger=True) as core:
        arm(Killer(kill))
        if not port:
            print("ready", flush=True)
            await asyncio.Event().wait()
        app = create_app(core)
        app.mount("/door", routes(core))
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False)
        await uvicorn.Server(config).serve()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0, help="0: a worker without a door")
    parser.add_argument("--execute", action="store_true")
    parser.add_argument("--kill")
    given = parser.parse_args()
    logs.configure("debug")
    faulthandler.register(signal.SIGUSR1)
    asyncio.run(run(given.port, execute=given.execute, kill=given.kill))


if __name__ == "__main__":
    main()
