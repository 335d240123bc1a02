"""Schemathesis follows the links of the spec through the lifetime of a listen key."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from schemathesis import GenerationMode
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.generation.stateful.state_machine import DEFAULT_STATE_MACHINE_SETTINGS, APIStateMachine, StepInput
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from schemathesis_target import SchemathesisTarget, load_schema, run_target

SYMBOLS = ("BTCUSDT", "ETHBTC")
ENOUGH = settings(
    DEFAULT_STATE_MACHINE_SETTINGS, max_examples=25, stateful_step_count=12, derandomize=True, database=None
)
FULL_LIFECYCLE = re.compile("POST .*PUT .*DELETE ")


class StepRecorder:
    """The steps of a state machine by method and status, and the successes of each scenario."""

    def __init__(self) -> None:
        self.steps: Counter[tuple[str, int]] = Counter()
        self.scenarios: list[str] = []


def make_state_machine(path: str, target: SchemathesisTarget, recorder: StepRecorder) -> type[APIStateMachine]:
    """A state machine for the calls of one path, which records its steps."""
    # Mixed: one call in ten is malformed.
    schema = load_schema(GenerationMode.POSITIVE, GenerationMode.NEGATIVE).include(path=path)

    class Machine(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            recorder.scenarios.append("")
            for account in ("cross", *SYMBOLS):
                target.exchange.delete_listen_key(account=account)

        def before_call(self, case: Case) -> None:
            # The schema does not list the symbols that exist.
            if case.method == "POST" and isinstance(symbol := case.query.get("symbol"), str):
                case.query["symbol"] = SYMBOLS[len(symbol) % len(SYMBOLS)]

        def call(self, case: Case, **_: Any) -> Response:
            return case.call(base_url=target.exchange.url, session=target.session, headers=target.auth_headers)

        def step(self, step: StepInput) -> Any:
            output = super().step(step)
            status = output.response.status_code
            if status == 200:
                recorder.scenarios[-1] += f"{step.case.method} "
            if step.transition is not None and step.is_applied:
                recorder.steps[step.case.method, status] += 1
            return output

        def validate_response(self, response: Response, case: Case, *_: Any, **__: Any) -> None:
            # Generated keys and calls without an API key are refused; the tests of single calls cover them.
            excluded = [positive_data_acceptance, ignored_auth]
            case.validate_response(response, excluded_checks=excluded, recorder=self.recorder)

    return Machine


@pytest.fixture(scope="module")
def target() -> Iterator[SchemathesisTarget]:
    with run_target() as target:
        yield target


@pytest.mark.third_party_client
@pytest.mark.parametrize(
    "path",
    [
        "/sapi/v1/userDataStream",
        "/sapi/v1/userDataStream/isolated",
        "/sapi/v2/margin/listen-key",
        "/sapi/v1/margin/listen-key",
    ],
)
def test_a_listen_key_is_created_kept_alive_and_closed_along_the_links(target: SchemathesisTarget, path: str) -> None:
    recorder = StepRecorder()
    make_state_machine(path, target, recorder).run(settings=ENOUGH)
    assert recorder.steps["PUT", 200] >= 10
    assert recorder.steps["DELETE", 200] >= 10
    # A key that was closed before is refused although a link gave it.
    assert recorder.steps["PUT", 400] >= 10
    assert len([scenario for scenario in recorder.scenarios if FULL_LIFECYCLE.search(scenario)]) >= 5
