"""The spec as loaded by schemathesis, and a sandbox to check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.schemas import OpenApiSchema

from binance_margin_stream.sandbox import ExchangeRules, Sandbox

SPEC = Path(__file__).parents[2] / "openapi" / "margin-stream.yaml"


def load_schema(*modes: GenerationMode) -> OpenApiSchema:
    generation = GenerationConfig(modes=list(modes), deterministic=True, with_security_parameters=False)
    projects = ProjectsConfig(default=ProjectConfig(generation=generation))
    return schemathesis.openapi.from_path(SPEC, config=SchemathesisConfig(projects=projects))


@dataclass(frozen=True)
class SchemathesisTarget:
    exchange: Sandbox
    session: requests.Session

    @property
    def auth_headers(self) -> dict[str, str]:
        """The header with the API key."""
        return {"X-MBX-APIKEY": self.exchange.api_key}


@contextmanager
def run_target() -> Iterator[SchemathesisTarget]:
    # Without limits: what is tested here are the calls, not how many of them are allowed.
    rules = ExchangeRules(retired_endpoints="served", ip_weight_limit=10**9, uid_weight_limit=10**9)
    with Sandbox(rules=rules, seed=7) as exchange, requests.Session() as session:
        yield SchemathesisTarget(exchange, session)
