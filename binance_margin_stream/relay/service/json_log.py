"""Log records as one JSON object a line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from binance_margin_stream.redaction import redact

__all__ = ["JsonFormatter"]


class JsonFormatter(logging.Formatter):
    """Time, level, logger and message; the traceback under ``error``, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)
