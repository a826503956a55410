"""Whether the process lives (``/healthz``) and whether it can do its work (``/readyz``)."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import structlog
from fastapi import APIRouter
from starlette.responses import JSONResponse

from osler.api.services import Services

LONGEST: Final = 2.0
"""Seconds that one check may take; all run at once."""

OK: Final = "ok"
FAILED: Final = "failed"
TIMED_OUT: Final = "timed out"
NOT_USED: Final = "not used"

_log: Final = structlog.get_logger()


def health_routes(services: Services) -> APIRouter:
    """Return the routes of health."""
    router = APIRouter()
    under_way: dict[str, asyncio.Task[None]] = {}

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Answer as long as the event loop turns."""
        return {"status": OK}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """Say of each part whether it works; 503 if one does not."""
        checks: dict[str, Awaitable[None]] = {
            "database": services.database.check(),
            "blobs": services.vault.check(),
            "queue": _queue(services),
        }
        if services.executes:
            checks["weights"] = _weights(services)
        names, running = list(checks), [_once(under_way, name, check) for name, check in checks.items()]
        results = dict(zip(names, await asyncio.gather(*running), strict=True))
        results.setdefault("weights", {"status": NOT_USED})
        ready = all(result["status"] in (OK, NOT_USED) for result in results.values())
        body = {"status": OK if ready else FAILED, "checks": results}
        return JSONResponse(body, status_code=200 if ready else 503, headers={"Cache-Control": "no-store"})

    return router


async def _once(under_way: dict[str, asyncio.Task[None]], name: str, check: Awaitable[None]) -> dict[str, Any]:
    """Run a check for at most LONGEST seconds; while an earlier one still hangs, wait for that and begin no other."""
    task = under_way.get(name)
    if task is None or task.done():
        task = under_way[name] = asyncio.ensure_future(check)
    elif asyncio.iscoroutine(check):
        check.close()
    assert task is not None
    done, _ = await asyncio.wait((task,), timeout=LONGEST)
    if not done:
        _log.warning("a readiness check takes too long", check=name)
        return {"status": TIMED_OUT}
    error = task.exception()
    if error is None:
        return {"status": OK}
    _log.warning("a readiness check failed", check=name, error=error)
    return {"status": FAILED, "error": type(error).__name__}


class NotReadyError(Exception):
    """A part says that it does not work."""


class WeightsIncompleteError(NotReadyError):
    """Model weights that this process needs are not in the store: ``osler models pull``."""


async def _queue(services: Services) -> None:
    if not await services.engine.healthy():
        raise NotReadyError


async def _weights(services: Services) -> None:
    if await asyncio.to_thread(services.missing_weights):
        raise WeightsIncompleteError
