"""Argument and field errors of the generated classes, as this package's own errors and without the values.

The stock templates use pydantic directly: a wrong argument or field raises `pydantic.ValidationError`, whose text
contains the value, and `repr` shows every field. Both may be a listen key. Two template overrides, ``api.mustache`` and
``model.mustache`` in ``openapi/templates``, make the generated classes use this module instead.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pydantic
from pydantic import BaseModel, ValidationError

from binance_margin_stream.exceptions import ApiTypeError, ApiValueError
from binance_margin_stream.redaction import MASK
from binance_margin_stream.tracebacks import hide_frames

__all__ = ["protect_model", "validate_call"]


def validate_call(method: Callable[..., Any]) -> Callable[..., Any]:
    """Validate the arguments of an API method by its annotations, as `pydantic.validate_call` does.

    The method raises `ApiTypeError` or `ApiValueError`, which name the argument and never show its value.
    """
    validated = pydantic.validate_call(method)

    @hide_frames
    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return validated(*args, **kwargs)
        except ValidationError as error:
            raise _make_argument_error(method, error) from None

    return wrapper


def protect_model(model: type[BaseModel], *, secret_fields: tuple[str, ...] = ()) -> None:
    """Make a model raise `ApiValueError` for invalid fields, and mask `secret_fields` in its repr."""
    target: Any = model
    target.__repr_args__ = _mask_fields(frozenset(secret_fields))
    target.__init__ = _translate_errors(target.__init__)
    for name in ("from_dict", "from_json"):
        setattr(target, name, classmethod(_translate_errors(getattr(target, name).__func__)))


def _mask_fields(names: frozenset[str]) -> Callable[[BaseModel], Iterator[tuple[str | None, Any]]]:
    def get_repr_args(model: BaseModel) -> Iterator[tuple[str | None, Any]]:
        for name, value in BaseModel.__repr_args__(model):
            yield name, MASK if name in names else value

    return get_repr_args


def _translate_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    @hide_frames
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ApiValueError:
            raise
        except ValidationError as error:
            problem = _describe_field_errors(error)
        except (ValueError, RecursionError):
            problem = "the text is not JSON"
        raise ApiValueError(problem)

    return wrapper


def _describe_field_errors(error: ValidationError) -> str:
    problems = {}
    for found in error.errors(include_url=False, include_context=False):
        missing = found["type"] == "missing" or found["input"] is None
        problems[str(next(iter(found["loc"]), "the object"))] = "is missing" if missing else "has the wrong type"
    return " and ".join(f"{name} {problem}" for name, problem in sorted(problems.items()))


def _make_argument_error(method: Callable[..., Any], error: ValidationError) -> ApiTypeError | ApiValueError:
    names = list(inspect.signature(method).parameters)
    found = error.errors(include_input=False, include_url=False, include_context=False)
    problems = {_get_argument_name(problem["loc"][0], names): problem["msg"] for problem in found}
    message = f"{method.__name__}: " + "; ".join(f"{name}: {problem}" for name, problem in problems.items())
    wrong_type = all(problem["type"].endswith(("_type", "_argument")) for problem in found)
    return ApiTypeError(message) if wrong_type else ApiValueError(message)


def _get_argument_name(location: int | str, names: list[str]) -> str:
    if isinstance(location, str):
        return location
    return names[location] if location < len(names) else f"argument {location}"
