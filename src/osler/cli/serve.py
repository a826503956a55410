"""``osler serve``: the HTTP server, with workers in the same process unless they are to be elsewhere."""

import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from osler.kernel.errors import ListenError

if TYPE_CHECKING:
    from osler.bootstrap import Core
    from osler.cli.process import Stop
    from osler.config import Settings

LAST_ANSWERS: Final = 10
"""Seconds that requests under way have to end once the server is to stop."""

BACKLOG: Final = 2048

WARM_UP_AFTER: Final = 5.0
"""Seconds from the start of a process that runs jobs to the loading of the speech models, which takes some."""

PING_TIMEOUT: Final = 60.0
"""Seconds in which a WebSocket's other end must answer a ping. While what came is stored nothing is read, so this is
more than a client may be kept waiting."""


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: a free one.")] = 8765,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Run no jobs here; osler worker does, in processes of its own.")
    ] = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C. A new deployment is made at the first start, as osler init does."""
    from osler.cli.process import begin_start, run_until_stopped

    begin_start()
    from osler import logs
    from osler.bootstrap import read_settings

    settings = read_settings()
    logs.configure(settings.log_level)
    with contextlib.closing(_listen(host, port)) as listener:
        address, number = listener.getsockname()[:2]
        settings = _with_address(settings, address, number)
        run_until_stopped(lambda stop: _serve(settings, listener, stop, execute=not no_worker))


async def _serve(settings: "Settings", listener: socket.socket, stop: "Stop", *, execute: bool) -> None:
    import structlog
    import uvicorn

    from osler.api.app import create_app
    from osler.api.scribe.live_stream import MOST_AUDIO
    from osler.api.wire import MOST_HEAD, Http
    from osler.cli.process import end_start

    log = structlog.get_logger()

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave signals to the process, which has more to close than the server."""
            yield

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            end_start()
            host, port = listener.getsockname()[:2]
            log.info("ready", host=host, port=port, database=_kind(settings), blobs=_place(settings))

    async with opened_for_service(settings, execute=execute) as core:
        config = uvicorn.Config(
            create_app(core),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            http=Http,
            h11_max_incomplete_event_size=MOST_HEAD,
            ws="websockets-sansio",
            ws_max_size=MOST_AUDIO,
            ws_ping_timeout=PING_TIMEOUT,
            ws_per_message_deflate=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=LAST_ANSWERS,
        )
        server = Server(config)
        stop.on_request(lambda: setattr(server, "should_exit", True))
        await server.serve(sockets=[listener])
    log.info("stopped")


@contextlib.asynccontextmanager
async def opened_for_service(settings: "Settings", *, execute: bool) -> "AsyncIterator[Core]":
    """Open the core for a process that stays: a new deployment is made first, policies run in the background."""
    import asyncio

    import structlog

    from osler import __version__
    from osler.bootstrap import initialise, is_new, open_core

    log = structlog.get_logger()
    log.info("starting", version=__version__)
    if await is_new(settings):
        await initialise(settings)
        log.warning("a new deployment was made: keep a copy of its master key apart from this machine")
    async with open_core(settings, execute=execute, apply_ledger=True) as core:
        background: list[asyncio.Task[None]] = []
        if execute:
            if core.missing_weights():
                log.warning("model weights are missing, jobs will fail: osler models pull")
            else:
                background.append(asyncio.create_task(_warm_up(core), name="warming the speech engines"))
            background.append(asyncio.create_task(core.housekeeping.run(), name="housekeeping"))
            background.append(asyncio.create_task(_warm_writer(core), name="warming the writer"))
        try:
            yield core
        finally:
            for task in background:
                task.cancel()
            if background:
                await asyncio.wait(background)


async def _warm_up(core: "Core") -> None:
    """Load the speech models once the process has settled, so that no live segment waits for them."""
    import asyncio

    import structlog

    from osler.kernel.errors import OslerError

    await asyncio.sleep(WARM_UP_AFTER)
    try:
        await core.speech_engines.warm_up()
    except OslerError as error:
        structlog.get_logger().warning("the speech models could not be loaded", error=type(error))


async def _warm_writer(core: "Core") -> None:
    """Load the writer's lexicons once the process has settled, so that whoever waits for the first note does not."""
    import asyncio

    await asyncio.sleep(WARM_UP_AFTER)
    await core.composing.warm()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ListenError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise ListenError("The address to listen on cannot be found; give one of this machine with --host.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(
            f"Port {port} cannot be listened on: {error.strerror}. Is another server running there? "
            "Stop it, or name another with --port."
        ) from None
    if not _is_loopback(listener):
        _warn_of_plain_http(listener)
    return listener


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def _warn_of_plain_http(listener: socket.socket) -> None:
    import structlog

    host, port = listener.getsockname()[:2]
    structlog.get_logger().warning(
        "listening beyond this machine in plain HTTP: put a reverse proxy with TLS in front", host=host, port=port
    )


def _with_address(settings: "Settings", host: str, port: int) -> "Settings":
    """Have signed URLs lead here unless the operator said where clients reach the server."""
    if "public_url" in settings.model_fields_set or ipaddress.ip_address(host).is_unspecified:
        return settings
    shown = f"[{host}]" if ":" in host else host
    return settings.model_copy(update={"public_url": f"http://{shown}:{port}"})


def _kind(settings: "Settings") -> str:
    return "sqlite" if settings.database_url.startswith("sqlite") else "postgresql"


def _place(settings: "Settings") -> str:
    return "s3" if settings.blobs_place.startswith("s3://") else "folder"
