"""Schemathesis checks the trading calls of the sandbox against their description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.generation.case import Case as AnyCase
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    positive_data_acceptance,
    unsupported_method,
)
from schemathesis_target import TESTNET_SPEC, SchemathesisTarget, SignedRequests, load_schema, run_target

from binance_margin_stream.sandbox.api.endpoint import Endpoint
from binance_margin_stream.sandbox.api.rest_endpoints import ENDPOINTS

Case = AnyCase[Any]
CREDENTIAL_PATHS = ("userDataStream", "listen-key", "userListenToken")
SERVED = {
    key: endpoint for key, endpoint in ENDPOINTS.items() if not any(path in endpoint.path for path in CREDENTIAL_PATHS)
}
SPEC = yaml.safe_load(TESTNET_SPEC.read_text(encoding="utf-8"))
EXCLUDED = [positive_data_acceptance, ignored_auth, missing_required_header, unsupported_method]
"""A generated symbol need not exist; keys and methods have tests of their own."""

good = load_schema(GenerationMode.POSITIVE, spec=TESTNET_SPEC)
bad = load_schema(GenerationMode.NEGATIVE, spec=TESTNET_SPEC)
few = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    # They measure how fast examples are generated, which depends on what else the machine does.
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def target() -> Iterator[SchemathesisTarget]:
    with run_target() as target:
        target.session.auth = SignedRequests(target.exchange.api_secret)
        yield target


def check(case: Case, target: SchemathesisTarget) -> None:
    # An existing symbol leads further than a generated one.
    if "symbol" in (case.query or {}) and case.query["symbol"] is not None and len(str(case.query["symbol"])) % 2:
        case.query["symbol"] = "BTCUSDT"
    case.call_and_validate(
        base_url=target.exchange.url,
        session=target.session,
        headers=target.auth_headers,
        excluded_checks=EXCLUDED,
    )


@good.parametrize()
@few
def test_well_formed_calls_are_answered_as_described(case: Case, target: SchemathesisTarget) -> None:
    check(case, target)


@bad.exclude(func=lambda context: not context.operation.definition.raw.get("parameters")).parametrize()
@few
def test_malformed_calls_are_refused_as_described(case: Case, target: SchemathesisTarget) -> None:
    case.call_and_validate(
        base_url=target.exchange.url,
        session=target.session,
        headers=target.auth_headers,
        excluded_checks=EXCLUDED,
    )


def test_the_description_has_every_call() -> None:
    described = {(method.upper(), path) for path, item in SPEC["paths"].items() for method in item}
    assert described == set(SERVED)


@pytest.mark.parametrize("endpoint", SERVED.values(), ids=lambda each: f"{each.method} {each.path}")
def test_the_description_of_a_call_is_that_of_the_table(endpoint: Endpoint) -> None:
    operation = SPEC["paths"][endpoint.path][endpoint.method.lower()]
    described = {(each["name"], each.get("required", False)) for each in operation.get("parameters", [])}
    assert described == {(each.name, each.mandatory) for each in endpoint.parameters}
    assert (operation["x-weight"], operation["x-security"]) == (endpoint.weight, endpoint.security)
