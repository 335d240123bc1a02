"""What can go wrong in a relay: a class for each thing that a caller does differently."""

from __future__ import annotations

from binance_margin_stream.exceptions import OpenApiException

__all__ = [
    "BrokerError",
    "BrokerSettingsError",
    "BrokerUnavailableError",
    "JobFileError",
    "RelayError",
    "StoredFormError",
]


class RelayError(OpenApiException):
    """A relay, or a reader of what it stored, cannot go on."""


class StoredFormError(RelayError):
    """Something in the broker is not in the form that this package writes."""


class JobFileError(RelayError):
    """A job file has mistakes; the message names all of them. Nothing was started."""


class BrokerError(RelayError):
    """The NATS server refused something. The message says what to do."""


class BrokerUnavailableError(BrokerError):
    """The NATS server cannot be reached, or does not respond in time: try again later."""


class BrokerSettingsError(BrokerError):
    """Credentials, a stream's settings or the server's configuration are wrong: trying again does not help."""
