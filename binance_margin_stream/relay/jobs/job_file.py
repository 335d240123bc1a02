"""The job file: YAML that is checked whole before anything starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from binance_margin_stream.exceptions import ApiValueError
from binance_margin_stream.relay.errors import JobFileError
from binance_margin_stream.relay.jobs.job import Job
from binance_margin_stream.relay.jobs.secret_reference import SecretReference
from binance_margin_stream.stream.accounts import Account

__all__ = ["load_job_file", "parse_jobs"]

_FIELDS = frozenset({"name", "api_key", "api_secret", "accounts", "source", "risk", "replicas"})
_SHOWN_PROBLEMS = 10


def load_job_file(path: Path) -> tuple[Job, ...]:
    """The jobs of a file. Raises `JobFileError` that names every mistake."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise JobFileError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise JobFileError(f"{path} is not UTF-8") from None
    return parse_jobs(text, str(path))


def parse_jobs(text: str, shown: str = "the job file") -> tuple[Job, ...]:
    """The jobs of a file's text. Raises `JobFileError` that names every mistake."""
    try:
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise JobFileError(f"{shown}{line} is not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise JobFileError(f"{shown} is not YAML") from None
    if not isinstance(data, dict) or data.keys() != {"jobs"} or not isinstance(data["jobs"], list) or not data["jobs"]:
        raise JobFileError(f"{shown} has one key, jobs, with a list of jobs")
    jobs: list[Job] = []
    problems: list[str] = []
    for number, fields in enumerate(data["jobs"], 1):
        try:
            jobs.append(_parse_job(fields))
        except (ApiValueError, TypeError) as error:
            problems.append(f"job {_name(fields, number)}: {error}")
    problems += [f"job {name}: its name occurs {n} times" for name, n in Counter(j.name for j in jobs).items() if n > 1]
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise JobFileError(f"{shown}: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}")
    return tuple(jobs)


def _name(fields: object, number: int) -> str:
    name = fields.get("name") if isinstance(fields, dict) else None
    return repr(name) if isinstance(name, str) else f"number {number}"


def _parse_job(fields: object) -> Job:
    if not isinstance(fields, dict):
        raise ApiValueError("a job is a mapping with name, api_key and accounts")
    if unknown := sorted(str(key) for key in fields.keys() - _FIELDS):
        raise ApiValueError(f"unknown: {', '.join(unknown)}")
    if missing := sorted({"name", "api_key"} - fields.keys()):
        raise ApiValueError(f"missing: {', '.join(missing)}")
    values: dict[str, Any] = {
        "name": _check(fields, "name", str),
        "api_key": SecretReference.parse(fields["api_key"]),
    }
    if fields.get("api_secret") is not None:
        values["api_secret"] = SecretReference.parse(fields["api_secret"])
    if "accounts" in fields:
        values["accounts"] = _parse_accounts(fields["accounts"])
    for name, kind in (("source", str), ("risk", bool), ("replicas", int)):
        if name in fields:
            values[name] = _check(fields, name, kind)
    return Job(**values)


def _parse_accounts(value: object) -> tuple[Account, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ApiValueError("accounts is a list such as [cross, 'isolated:BTCUSDT']")
    return tuple(dict.fromkeys(Account.parse(each) for each in value))


def _check(fields: dict[str, object], name: str, kind: type) -> object:
    if type(fields[name]) is not kind:
        raise ApiValueError(f"{name} has to be of type {kind.__name__}")
    return fields[name]
