"""Running a command's work on the opened core: one event loop, one deployment, closed in any case."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from osler.bootstrap import Core

Result = TypeVar("Result")


def run(work: "Callable[[Core], Awaitable[Result]]", *, makes_jobs: bool = False) -> Result:
    """Open the deployment that the environment names, do ``work`` with it, close it, and return the result.

    No jobs are executed here. Those that the work enqueues or retries, which it may only with ``makes_jobs``, are for
    ``osler serve`` and ``osler worker``. Errors go up: :mod:`osler.cli.app` turns them into a line and an exit code.
    """
    from osler import logs
    from osler.bootstrap import open_core, read_settings

    settings = read_settings()
    # What libraries have to say goes through the filter here too; a command's own result is not a log line.
    logs.configure("warning")

    async def opened() -> Result:
        async with open_core(settings, engine="dbos" if makes_jobs else "closed") as core:
            return await work(core)

    return asyncio.run(opened())
