"""A relay as the command `relay` runs it, with faster deadlines and a clock that may be wrong.

    python -m simulation.relay_lab.relay_process '{"nats": [...], "sandbox": "http://...", ...}'

SIGUSR1 sets this process's clock forward by five seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

_read_clock = time.time
_skew = [0.0]
time.time = lambda: _read_clock() + _skew[0]

from binance_margin_stream.auth import ApiKeyAuth  # noqa: E402  # after the clock was replaced
from binance_margin_stream.cli.target import build_sandbox_endpoints  # noqa: E402
from binance_margin_stream.relay.broker.connection import BrokerOptions  # noqa: E402
from binance_margin_stream.relay.broker.store import StoreOptions  # noqa: E402
from binance_margin_stream.relay.jobs.job import Job  # noqa: E402
from binance_margin_stream.relay.jobs.job_file import load_job_file  # noqa: E402
from binance_margin_stream.relay.jobs.queue import JobQueueOptions  # noqa: E402
from binance_margin_stream.relay.jobs.secret_reference import SecretReference  # noqa: E402
from binance_margin_stream.relay.service.json_log import JsonFormatter  # noqa: E402
from binance_margin_stream.relay.service.margin_stream import make_margin_stream  # noqa: E402
from binance_margin_stream.relay.service.process import JobMode, RelayOptions, RelayProcess  # noqa: E402
from binance_margin_stream.relay.service.server_time import ServerTimeRequest  # noqa: E402
from binance_margin_stream.relay.settings import RelaySettings  # noqa: E402
from binance_margin_stream.stream.settings import StreamSettings  # noqa: E402

LAB_SETTINGS = RelaySettings(hole_wait=8.0, claim_interval=0.2, clock_interval=5.0, publish_timeout=2.0)
"""The bounds are the defaults; a hole becomes a gap sooner."""

STREAM_SETTINGS = replace(
    StreamSettings(), idle_timeout=4.0, request_timeout=3.0, backoff_max=1.0, connect_limit=10_000, rest_rate=200.0
)


def make_work(config: dict[str, Any]) -> tuple[Job, ApiKeyAuth] | JobMode:
    """One key from the environment, or jobs."""
    if "host_id" not in config:
        job = Job(name=config["name"], api_key=SecretReference("env", "BINANCE_API_KEY"))
        return job, ApiKeyAuth(os.environ["BINANCE_API_KEY"])
    jobs = load_job_file(Path(config["jobs"])) if "jobs" in config else None
    queue = JobQueueOptions(replicas=config["copies"])
    return JobMode(host_id=config["host_id"], capacity=config["capacity"], queue=queue, submitted=jobs)


def main(config: dict[str, Any]) -> None:
    """Relay until SIGTERM."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("binance_margin_stream").addHandler(handler)
    logging.getLogger("binance_margin_stream").setLevel(logging.INFO)
    _skew[0] = config.get("skew", 0.0)
    endpoints = build_sandbox_endpoints(config["sandbox"])
    stream_settings = replace(STREAM_SETTINGS, **config.get("stream", {}))
    process = RelayProcess(
        RelayOptions(
            broker=BrokerOptions(servers=tuple(config["nats"])),
            store=StoreOptions(replicas=config["copies"]),
            settings=LAB_SETTINGS,
            spool_directory=Path(config["spool"]),
        ),
        make_work(config),
        lambda job, auth: make_margin_stream(job, auth, endpoints, stream_settings),
        ServerTimeRequest(endpoints),
    )

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, process.stop)
        loop.add_signal_handler(signal.SIGUSR1, lambda: _skew.__setitem__(0, _skew[0] + 5))
        await process.run()

    asyncio.run(run())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
