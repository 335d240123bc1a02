"""What is stored of an event or a gap: subject, headers and payload, and how they are read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from binance_margin_stream.relay.errors import StoredFormError
from binance_margin_stream.relay.event_ids import make_event_id, make_gap_id
from binance_margin_stream.relay.frontier import TimeRange
from binance_margin_stream.relay.subjects import Subjects
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import Event, MalformedFrameError, StreamGap, StreamItem

__all__ = ["NOT_COVERED", "StoredMessage", "decode_item", "encode_event", "encode_gap"]

CLASS_HEADER = "Event-Class"
TIME_HEADER = "Event-Time"
SOURCE_HEADER = "Event-Source"
ORIGIN_HEADER = "Event-Origin"
CONTENT_HEADER = "Gap-Content"

NOT_COVERED = "not covered"
"""The reason of a gap that the frontier reports: no reader received all events of this time."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it is stored."""

    subject: str
    headers: dict[str, str] = field(repr=False)
    payload: bytes = field(repr=False)


def encode_event(
    subjects: Subjects, name: str, event: Event, *, occurrence: int, source: str, origin: str
) -> StoredMessage:
    """An event of the key `name`. `origin` is ``live`` or ``recovered``."""
    headers = {CLASS_HEADER: type(event).__name__, SOURCE_HEADER: source, ORIGIN_HEADER: origin}
    event_time = getattr(event, "event_time", None)
    if event_time is not None:
        headers[TIME_HEADER] = str(event_time)
    subject = subjects.event(name, event.account, make_event_id(event, occurrence))
    return StoredMessage(subject, headers, event.to_json().encode())


def encode_gap(subjects: Subjects, name: str, account: Account, content: str, gap: TimeRange) -> StoredMessage:
    """A gap that the frontier decided. Its ends are the moments beside it, at which nothing is missing."""
    item = StreamGap(account=account, since=max(0, gap.start - 1), until=gap.end + 1, reason=NOT_COVERED)
    headers = {CLASS_HEADER: "StreamGap", TIME_HEADER: str(gap.end), CONTENT_HEADER: content}
    return StoredMessage(
        subjects.event(name, account, make_gap_id(account, content, gap)), headers, item.to_json().encode()
    )


def decode_item(payload: bytes, headers: Mapping[str, str]) -> StreamItem:
    """The event or gap of a stored message. Raises `StoredFormError`."""
    try:
        return StreamItem.from_json(payload)
    except MalformedFrameError as error:
        reason = str(error)
    kind = headers.get(CLASS_HEADER, "no class")
    raise StoredFormError(f"a stored message ({kind}) cannot be read by this version: {reason}")
