"""The command `relay`: run one relay process until SIGTERM, and map its errors to exit codes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from binance_margin_stream.cli.options import ConnectionOptions
from binance_margin_stream.cli.relay.options import LogFormat, RelayCommandOptions
from binance_margin_stream.cli.runner import ExitCode
from binance_margin_stream.terminal.program import CommandError, require_extra

with require_extra("cli,relay"):
    from binance_margin_stream.auth import ApiKeyAuth
    from binance_margin_stream.relay.broker.connection import BrokerOptions
    from binance_margin_stream.relay.broker.directory_lock import lock_directory
    from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer
    from binance_margin_stream.relay.broker.store import StoreOptions
    from binance_margin_stream.relay.errors import BrokerUnavailableError, JobFileError, RelayError
    from binance_margin_stream.relay.jobs.job import Job
    from binance_margin_stream.relay.jobs.job_file import load_job_file
    from binance_margin_stream.relay.jobs.queue import JobQueueOptions
    from binance_margin_stream.relay.jobs.secret_reference import SecretReference
    from binance_margin_stream.relay.service.json_log import JsonFormatter
    from binance_margin_stream.relay.service.margin_stream import make_margin_stream
    from binance_margin_stream.relay.service.process import JobMode, RelayOptions, RelayProcess
    from binance_margin_stream.relay.service.server_time import ServerTimeRequest
    from binance_margin_stream.relay.settings import RelaySettings
    from binance_margin_stream.relay.subjects import Subjects
    from binance_margin_stream.stream.accounts import Account

__all__ = ["run_relay"]

log = logging.getLogger("binance_margin_stream.relay")

_NATS_VARIABLE = "NATS_URL"
_SECONDS_PER_DAY = 86_400


def run_relay(connection: ConnectionOptions, options: RelayCommandOptions, *, verbose: bool) -> ExitCode:
    """Relay until SIGTERM or Ctrl-C. Raises `CommandError`, and `StreamError` when the only key fails."""
    target = connection.select_target()
    with _map_relay_errors(), ExitStack() as stack:
        work = _choose_work(connection, options)
        _set_up_log(options.log_format, verbose)
        process = RelayProcess(
            RelayOptions(
                broker=_choose_broker(options, stack),
                store=_make_store_options(options),
                settings=RelaySettings(
                    latency_bound_ms=options.latency_bound,
                    clock_error_bound_ms=options.clock_error_bound,
                    hole_wait=options.hole_wait,
                ),
                spool_directory=_choose_spool(options, stack),
                health_host=_split_address(options.health)[0],
                health_port=_split_address(options.health)[1],
            ),
            work,
            lambda job, auth: make_margin_stream(job, auth, target.endpoints),
            ServerTimeRequest(target.endpoints),
        )
        asyncio.run(_run(process))
    return ExitCode.SUCCESS


async def _run(process: RelayProcess) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, process.stop)
    await process.run()


@contextmanager
def _map_relay_errors() -> Iterator[None]:
    try:
        yield
    except BrokerUnavailableError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from error
    except JobFileError as error:
        raise CommandError(str(error), ExitCode.BAD_PARAMETER) from error
    except RelayError as error:
        raise CommandError(str(error), ExitCode.RELAY_REFUSED) from error


def _choose_work(connection: ConnectionOptions, options: RelayCommandOptions) -> tuple[Job, ApiKeyAuth] | JobMode:
    """One key, or the queue of jobs. Files are checked, and nothing is started yet."""
    takes_jobs = options.jobs is not None or options.from_queue
    if takes_jobs == (options.name is not None):
        raise CommandError(
            "pass either --name NAME with the key's accounts, or --jobs FILE or --from-queue", ExitCode.USAGE
        )
    if takes_jobs:
        return JobMode(
            host_id=options.host_id or socket.gethostname(),
            capacity=options.capacity,
            queue=JobQueueOptions(subjects=Subjects(options.prefix), replicas=options.copies),
            submitted=load_job_file(options.jobs) if options.jobs is not None else None,
        )
    job = Job(
        name=options.name or "",
        api_key=SecretReference("env", "BINANCE_API_KEY"),
        accounts=tuple(dict.fromkeys(Account.parse(part.strip()) for part in options.accounts.split(","))),
        source=options.source,
        risk=options.risk,
    )
    return job, connection.load_api_key()


def _choose_broker(options: RelayCommandOptions, stack: ExitStack) -> BrokerOptions:
    """The servers that options or environment name, or one that is started and stopped with `stack`."""
    if options.embedded is not None:
        if options.nats:
            raise CommandError("pass either --nats or --embedded, not both", ExitCode.USAGE)
        stack.enter_context(lock_directory(options.embedded))
        server = stack.enter_context(EmbeddedServer(options.embedded, port=options.embedded_port))
        log.info("the embedded NATS server listens on %s", server.url)
        return BrokerOptions(servers=(server.url,))
    if any("@" in url for url in options.nats or ()):
        raise CommandError(
            f"everybody can see the arguments of a process: pass user and password in {_NATS_VARIABLE}, or a file with "
            "--nats-credentials-file",
            ExitCode.USAGE,
        )
    servers = options.nats or [url.strip() for url in os.environ.get(_NATS_VARIABLE, "").split(",") if url.strip()]
    if not servers:
        raise CommandError(
            f"say where NATS is: --nats URL, {_NATS_VARIABLE}, or --embedded DIR to start a server", ExitCode.USAGE
        )
    return BrokerOptions(
        servers=tuple(servers),
        credentials_file=options.nats_credentials_file,
        ca_file=options.nats_ca_file,
        client_certificate=options.nats_client_certificate,
    )


def _choose_spool(options: RelayCommandOptions, stack: ExitStack) -> Path | None:
    directory = options.spool
    if directory is None and options.embedded is not None:
        directory = options.embedded / "spool"
    if directory is not None:
        stack.enter_context(lock_directory(directory))
    return directory


def _make_store_options(options: RelayCommandOptions) -> StoreOptions:
    return StoreOptions(
        subjects=Subjects(options.prefix), replicas=options.copies, max_age=options.max_age_days * _SECONDS_PER_DAY
    )


def _split_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise CommandError("--health takes HOST:PORT, such as 127.0.0.1:8651", ExitCode.USAGE)
    return host.strip("[]"), int(port)


def _set_up_log(log_format: LogFormat, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if log_format is LogFormat.JSON:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("binance_margin_stream")
    logger.handlers = [handler]  # in place of what --verbose set up
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
