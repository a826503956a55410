"""``osler worker``: runs jobs without serving; any number of such processes share the work."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osler.cli.process import Stop
    from osler.config import Settings


def worker() -> None:
    """Run jobs until SIGTERM or Ctrl-C; what is not done then is handed over to the other workers."""
    from osler.cli.process import begin_start, run_until_stopped

    begin_start()
    from osler import logs
    from osler.bootstrap import read_settings

    settings = read_settings()
    logs.configure(settings.log_level)
    run_until_stopped(lambda stop: _work(settings, stop))


async def _work(settings: "Settings", stop: "Stop") -> None:
    import structlog

    from osler.cli.process import end_start
    from osler.cli.serve import opened_for_service

    async with opened_for_service(settings, execute=True):
        end_start()
        structlog.get_logger().info("ready")
        await stop.wait()
    structlog.get_logger().info("stopped")
