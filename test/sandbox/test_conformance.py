"""The sandbox is held to the spec by a tool that neither was written for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import schemathesis.checks
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation.case import Case as AnyCase
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from binance_margin_stream.sandbox import Rules, Sandbox

SPEC = Path(__file__).parents[2] / "openapi" / "margin-stream.yaml"


def load(mode: GenerationMode) -> OpenApiSchema:
    generation = GenerationConfig(modes=[mode], deterministic=True, with_security_parameters=False)
    projects = ProjectsConfig(default=ProjectConfig(generation=generation))
    return schemathesis.openapi.from_path(SPEC, config=SchemathesisConfig(projects=projects))


WITHOUT_PARAMETERS = [
    "sapi_v1_user_data_stream_post",
    "sapi_v2_margin_listen_key_post",
    "sapi_v2_margin_listen_key_delete",
    "sapi_v1_margin_listen_key_post",
    "sapi_v1_margin_listen_key_delete",
]
"""What takes nothing can be sent nothing malformed."""

good = load(GenerationMode.POSITIVE)
bad = load(GenerationMode.NEGATIVE).exclude(operation_id=WITHOUT_PARAMETERS)

few = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)


@dataclass(frozen=True)
class Target:
    url: str
    api_key: str
    session: requests.Session


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    # Without limits: what is tested here are the calls, not how many of them are allowed.
    rules = Rules(retired_calls="served", ip_weight_limit=10**9, uid_weight_limit=10**9)
    with Sandbox(rules=rules, seed=7) as exchange, requests.Session() as session:
        yield Target(exchange.url, exchange.api_key, session)


def check(case: AnyCase[Any], target: Target, headers: dict[str, str]) -> int:
    # A listen key or signature that is made up is rightly refused, however well-formed: the acceptance of
    # correct data is what the tests beside this one are for.
    response = case.call_and_validate(
        base_url=target.url,
        session=target.session,
        headers=headers,
        excluded_checks=[positive_data_acceptance],
    )
    return response.status_code


@good.parametrize()
@few
def test_well_formed_calls_are_answered_as_the_spec_says(case: AnyCase[Any], target: Target) -> None:
    check(case, target, {"X-MBX-APIKEY": target.api_key})


@bad.parametrize()
@few
def test_malformed_calls_are_refused_as_the_spec_says(case: AnyCase[Any], target: Target) -> None:
    check(case, target, {"X-MBX-APIKEY": target.api_key})


@good.parametrize()
@few
def test_calls_without_a_key_are_refused_as_the_spec_says(case: AnyCase[Any], target: Target) -> None:
    assert check(case, target, {}) == 401


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
