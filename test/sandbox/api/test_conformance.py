"""Schemathesis checks the sandbox against the spec, each call by itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
import schemathesis.checks
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case as AnyCase
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis_target import SchemathesisTarget, load_schema, run_target

Case = AnyCase[Any]

WITHOUT_PARAMETERS = [
    "sapi_v1_user_data_stream_post",
    "sapi_v2_margin_listen_key_post",
    "sapi_v2_margin_listen_key_delete",
    "sapi_v1_margin_listen_key_post",
    "sapi_v1_margin_listen_key_delete",
]
"""Calls without parameters have no malformed requests."""

WRONG_KEYS = cycle([({}, -2014), ({"X-MBX-APIKEY": "short"}, -2014), ({"X-MBX-APIKEY": "Unknown0" * 8}, -2015)])
"""A missing, a malformed and an unknown key, with their error codes."""

good = load_schema(GenerationMode.POSITIVE)
bad = load_schema(GenerationMode.NEGATIVE).exclude(operation_id=WITHOUT_PARAMETERS)

few = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def target() -> Iterator[SchemathesisTarget]:
    with run_target() as target:
        yield target


def check(case: Case, target: SchemathesisTarget, headers: dict[str, str]) -> Response:
    # A generated listen key or signature is refused even if it is well-formed, so this check does not apply.
    return case.call_and_validate(
        base_url=target.exchange.url,
        session=target.session,
        headers=headers,
        excluded_checks=[positive_data_acceptance],
    )


@good.parametrize()
@few
def test_well_formed_calls_are_answered_as_the_spec_says(case: Case, target: SchemathesisTarget) -> None:
    check(case, target, target.auth_headers)


@bad.parametrize()
@few
def test_malformed_calls_are_refused_as_the_spec_says(case: Case, target: SchemathesisTarget) -> None:
    check(case, target, target.auth_headers)


@good.parametrize()
@few
def test_calls_without_a_right_key_are_refused_as_the_spec_says(case: Case, target: SchemathesisTarget) -> None:
    headers, code = next(WRONG_KEYS)
    answer = check(case, target, dict(headers))
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_every_check_that_fits_is_on() -> None:
    names = {check.__name__ for check in schemathesis.checks.CHECKS.get_all()}
    assert {
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "unsupported_method",
    } <= names
