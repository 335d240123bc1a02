"""Generated classes, with their argument errors in this package's tree and their secrets masked.

The generated methods check their arguments before any hand-written code runs, and raise pydantic's error. The
generated models show every field. Both are mended here, in place, as soon as a generated module is imported.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from binance_margin_stream.exceptions import ApiTypeError, ApiValueError
from binance_margin_stream.redaction import MASK

__all__ = ["SECRET_FIELDS", "patch_generated_module"]

SECRET_FIELDS = frozenset({"listen_key", "token"})


def patch_generated_module(module: ModuleType) -> None:
    """Mend, in place, the classes that a generated module defines."""
    for value in list(vars(module).values()):
        if inspect.isclass(value) and value.__module__ == module.__name__:
            (_patch_model if issubclass(value, BaseModel) else _patch_api)(value)


def _patch_api(api: Any) -> None:
    for name, method in list(vars(api).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(api, name, _translate_errors(method))
    api.__init__ = _add_default_client(api.__init__)


def _patch_model(model: Any) -> None:
    model.__repr_args__ = _mask_secret_fields
    model.__init__ = _wrap_validation(model.__init__)
    for name in ("from_dict", "from_json"):
        setattr(model, name, classmethod(_wrap_validation(getattr(model, name).__func__)))


def _mask_secret_fields(model: BaseModel) -> Iterator[tuple[str | None, Any]]:
    for name, value in BaseModel.__repr_args__(model):
        yield name, MASK if name in SECRET_FIELDS else value


def _translate_errors(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except ValidationError as error:
            translated = _make_argument_error(method, error)
        raise translated  # out here, so that it drags along no exception that holds the argument

    return wrapper


def _wrap_validation(make: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(make)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return make(*args, **kwargs)
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


def _add_default_client(generated_init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(generated_init)
    def init(self: Any, api_client: Any = None) -> None:
        from binance_margin_stream import api_client as generated
        from binance_margin_stream.http.client import ApiClient

        if not isinstance(api_client, generated.ApiClient | None):
            raise ApiTypeError(f"{type(self).__name__} takes an ApiClient, not {type(api_client).__name__}")
        generated_init(self, ApiClient() if api_client is None else api_client)
        self._owned_api_client = self.api_client if api_client is None else None

    return init


def _make_argument_error(method: Callable[..., Any], error: ValidationError) -> ApiTypeError | ApiValueError:
    """Says which argument is wrong and how, and never its value, which may be a secret."""
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
