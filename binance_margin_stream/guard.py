"""Generated classes, with their argument errors in this package's tree and their secrets masked.

The generated methods check their arguments before any hand-written code runs, and raise pydantic's error. The
generated models show every field. Both are mended here, in place, when a class is first handed out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from binance_margin_stream.exceptions import ApiTypeError, ApiValueError
from binance_margin_stream.redaction import MASK

__all__ = ["SECRET_FIELDS", "guarded"]

SECRET_FIELDS = frozenset({"listen_key", "token"})

T = TypeVar("T")


@functools.cache
def guarded(generated: type[T]) -> type[T]:
    """Mend the class in place: models mask secrets in their repr, API classes raise only errors of ours."""
    mended: Any = generated
    if issubclass(generated, BaseModel):
        mended.__repr_args__ = _masked_fields
        return generated
    for name, method in list(vars(generated).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(generated, name, _translated(method))
    mended.__init__ = _with_default_client(mended.__init__)
    return generated


def _masked_fields(model: BaseModel) -> Iterator[tuple[str | None, Any]]:
    for name, value in BaseModel.__repr_args__(model):
        yield name, MASK if name in SECRET_FIELDS else value


def _translated(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except ValidationError as error:
            raise _argument_error(method, error) from None

    return call


def _with_default_client(generated_init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(generated_init)
    def init(self: Any, api_client: Any = None) -> None:
        from binance_margin_stream.client import ApiClient

        generated_init(self, ApiClient() if api_client is None else api_client)
        self._owned_api_client = self.api_client if api_client is None else None

    return init


def _argument_error(method: Callable[..., Any], error: ValidationError) -> ApiTypeError | ApiValueError:
    """Says which argument is wrong and how, and never its value, which may be a secret."""
    names = list(inspect.signature(method).parameters)
    found = error.errors(include_input=False, include_url=False, include_context=False)
    problems = {_argument(problem["loc"][0], names): problem["msg"] for problem in found}
    message = f"{method.__name__}: " + "; ".join(f"{name}: {said}" for name, said in problems.items())
    wrong_type = all(problem["type"].endswith(("_type", "_argument")) for problem in found)
    return ApiTypeError(message) if wrong_type else ApiValueError(message)


def _argument(place: int | str, names: list[str]) -> str:
    if isinstance(place, str):
        return place
    return names[place] if place < len(names) else f"argument {place}"
