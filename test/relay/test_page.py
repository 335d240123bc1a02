"""The page about relays: its program runs, and its files and names are those that the package has."""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from doc_snippets import ROOT, find_code_blocks
from nats_support import opened_store
from typer.main import get_command

from binance_margin_stream import CROSS, StreamGap
from binance_margin_stream.cli.app import app
from binance_margin_stream.relay.broker.connection import BrokerOptions
from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer
from binance_margin_stream.relay.broker.store import StoreOptions
from binance_margin_stream.relay.frontier import TimeRange
from binance_margin_stream.relay.jobs.job_file import parse_jobs
from binance_margin_stream.relay.service.metrics import render_metrics
from binance_margin_stream.relay.service.process import RelayOptions, RelayProcess
from binance_margin_stream.relay.service.server_time import ServerTimeRequest
from binance_margin_stream.relay.stored_item import encode_gap
from binance_margin_stream.sandbox import Sandbox

PAGE = ROOT / "docs" / "beyond-one-machine.md"
BLOCKS = find_code_blocks(PAGE)
EXAMPLES = ROOT / "examples" / "relay"


def find_block(language: str, title: str = "") -> str:
    (text,) = [block.text for block in BLOCKS if (block.language, block.title) == (language, title)]
    return text


def parse_relay(arguments: list[str]) -> None:
    """Raise what the parser of the command raises."""
    command = get_command(app)
    context = command.make_context("x", arguments)
    name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    assert name == "relay"
    found.make_context(name, rest, parent=context)


def test_the_reader_of_the_page_prints_what_is_stored(nats_server: EmbeddedServer) -> None:
    async def store_gap() -> StreamGap:
        async with opened_store(nats_server, StoreOptions()) as store:
            message = encode_gap(store.options.subjects, "desk", CROSS, "orders", TimeRange(1000, 2000))
            await store.publish(message.subject, message.payload, message.headers)
            item = StreamGap.from_json(message.payload)
            assert isinstance(item, StreamGap)
            return item

    gap = asyncio.run(store_gap())
    command = [sys.executable, "-W", "error", "-u", "-c", find_block("python")]
    environment = os.environ | {"NATS_URL": nats_server.url}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    assert line == f"desk cross: compare with a snapshot, {gap.since} to {gap.until} is not covered\n"


def test_the_job_file_of_the_page_is_valid() -> None:
    assert [job.name for job in parse_jobs(find_block("yaml", "keys.yml"))] == ["desk-1", "desk-2"]


def test_the_unit_of_the_page_is_the_one_that_is_shipped() -> None:
    assert (EXAMPLES / "margin-relay.service").read_text() == find_block("ini", "margin-relay.service")


@pytest.mark.parametrize("name", ["margin-relay", "margin-relay-host"])
def test_a_unit_starts_a_command_that_exists(name: str) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read(EXAMPLES / f"{name}.service")
    program, *arguments = shlex.split(parser["Service"]["ExecStart"])
    assert program.endswith("/binance-margin-stream")
    parse_relay(arguments)


def test_the_compose_file_starts_three_servers_and_two_relays() -> None:
    services = yaml.safe_load((EXAMPLES / "compose.yml").read_text())["services"]
    assert sorted(services) == ["nats1", "nats2", "nats3", "relay1", "relay2"]
    for name in ("relay1", "relay2"):
        parse_relay(["relay", *services[name]["command"]])


def test_the_server_of_the_compose_file_writes_through() -> None:
    assert "sync_interval: always" in (EXAMPLES / "nats.conf").read_text()


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "console"], ids=str)
def test_a_relay_command_of_the_page_can_be_parsed(block: object) -> None:
    for line in re.findall(r"^\$ binance-margin-stream (relay .*)$", block.text, re.MULTILINE):  # type: ignore[attr-defined]
        parse_relay(shlex.split(line))


def test_every_metric_of_the_page_exists() -> None:
    with Sandbox() as sandbox:
        options = RelayOptions(broker=BrokerOptions(servers=("nats://127.0.0.1:1",)))
        request = ServerTimeRequest(sandbox.endpoints)
        process = RelayProcess(options, None, None, request)  # type: ignore[arg-type]  # nothing is started
        names = set(re.findall(r"binance_margin_relay_(\w+)", render_metrics(process).decode())) | {"jobs_unowned"}
        request.close()
    table = PAGE.read_text().partition("### Alerts")[2].partition("###")[0]
    documented = set(re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
    assert len(documented) > 10
    assert documented <= names
