"""One line for each call, and the same shape for everything else that is worth saying.

Lines are JSON objects (``timestamp``, ``level``, ``event``, then fields with their units), or
coloured text on a terminal. No message content and no key is ever written.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter
from typing import Any, Literal

import orjson
import structlog

from gateway.errors import Outcome
from gateway.schema import TOKEN_CLASSES, Attempt, CallRecord, PartCounts, Usage

from .line_writer import LineWriter
from .redaction import MAX_TEXT_CHARS, redact, redact_value, redact_word

Format = Literal["json", "pretty", "auto"]
Fields = MutableMapping[str, Any]

MAX_ATTEMPTS = 20
"""Of a call that was cut, in its line."""
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_OPTIONS = orjson.OPT_UTC_Z
_RARE_TOKENS = tuple(n for n in TOKEN_CLASSES if n not in ("input_tokens", "output_tokens"))
_read_rare_tokens = attrgetter(*_RARE_TOKENS)


@dataclass(frozen=True, slots=True)
class Logging:
    """What ``configure_logging`` set up. Start and close the writer with the event loop."""

    writer: LineWriter
    calls: CallLog


def configure_logging(format: Format = "auto", level: str = "info", fd: int = 1) -> Logging:
    """Send structlog and the standard library's loggers to ``fd`` as lines.

    ``auto`` is pretty on a terminal and JSON elsewhere. ``level`` is the least severe one that is
    written; a call that went well is ``info``. Call it once for each process.
    """
    writer = LineWriter(fd)
    terminal = os.isatty(fd)
    pretty = terminal if format == "auto" else format == "pretty"
    colors = terminal and "NO_COLOR" not in os.environ
    render = _pretty_renderer(colors) if pretty else _render_json

    def last(_logger: Any, _method: str, event: Fields) -> str:
        return render(event)

    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    structlog.configure(
        processors=[*processors, last],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _LineLogger(writer),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(handlers=[handler], level=LEVELS[level], force=True)
    logging.captureWarnings(True)
    writer.report_loss = _report_loss
    return Logging(writer, CallLog(writer.write, LEVELS[level], render if pretty else None))


class CallLog:
    """An observer that writes one line for each call.

    JSON lines go past structlog's chain of processors, which costs ten times as much as the line.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        level: int = LEVELS["info"],
        render: Callable[[Fields], str] | None = None,
    ) -> None:
        self._write = write
        self._level = level
        self._render = render

    def __call__(self, record: CallRecord) -> None:
        if self._level > LEVELS["info"] and _went_well(record):
            return
        fields = call_fields(record)
        if self._render is None:
            # Put together, a line has no room behind it: an encoder's bytes bring kilobytes of it,
            # and a hundred of them wait here.
            self._write(orjson.dumps(fields, option=_OPTIONS) + b"\n")
        else:
            told = {name: value for name, value in fields.items() if value}
            told["timestamp"] = f"{fields['timestamp']:%H:%M:%S}"
            self._write(f"{self._render(told)}\n".encode())


def call_fields(record: CallRecord) -> dict[str, Any]:
    """The fields of a call's line, times rounded to microseconds."""
    caller, target, outcome, cost = record.caller, record.target, record.outcome, record.cost
    first_s = record.time_to_first_token_s
    fields: dict[str, Any] = {
        "timestamp": datetime.fromtimestamp(record.started_at_s + record.duration_s, UTC),
        "level": "info" if _went_well(record) else "warning",
        "event": "call",
        "call_id": record.call_id,
        "endpoint": record.endpoint,
        "outcome": outcome.label,
        "status": outcome.status,
        "key_id": caller.key_id,
        "project": redact_word(caller.project),
        "user": redact_word(caller.user),
        "task": record.task,
        "route_reason": record.route_reason,
        "requested_model": redact_word(record.requested_model),
        "provider": None if target is None else target.provider,
        "model": None if target is None else target.model,
        "rehearsal": target is not None and target.rehearsal,
        "stream": record.stream,
        "attempts": [_attempt(attempt) for attempt in _shown(record)],
        "tokens": _tokens(record.usage),
        "tokens_estimated": record.usage.estimated,
        "cost_nano": None if cost is None else cost.nano,
        "currency": None if cost is None else cost.currency,
        "time_to_first_token_s": None if first_s is None else int(first_s * 1e6) / 1e6,
        "duration_s": int(record.duration_s * 1e6) / 1e6,
        "finish_reason": record.finish_reason,
    }
    if record.parts is not None:
        fields |= _parts(record, record.parts)
    if record.replayed:
        fields["replayed"] = record.replayed
        fields["saved_nano"] = record.list_cost.nano if record.list_cost else None
    if outcome is not Outcome.OK:
        fields["error"] = redact(record.detail, MAX_TEXT_CHARS)
    elif fields["rehearsal"] and record.list_cost is not None and record.list_cost.nano:
        fields["rehearsed_paid_model"] = True
        fields["list_cost_nano"] = record.list_cost.nano
    return fields


def _went_well(record: CallRecord) -> bool:
    return record.outcome is Outcome.OK and not record.flags


def _shown(record: CallRecord) -> Sequence[Attempt]:
    """Of a call that was cut, which may have thousands: the first of those that went wrong."""
    if record.parts is None:
        return record.attempts
    wrong = (attempt for attempt in record.attempts if attempt.outcome is not Outcome.OK)
    return list(islice(wrong, MAX_ATTEMPTS))


def _parts(record: CallRecord, parts: PartCounts) -> Fields:
    """Counts alone: what a flag says may be of the script."""
    return {
        "parts": parts._asdict(),
        "flags": len(record.flags),
        "attempts_made": len(record.attempts),
    }


def _tokens(usage: Usage) -> dict[str, int]:
    tokens = {"input": usage.input_tokens, "output": usage.output_tokens}
    rare = _read_rare_tokens(usage)
    if any(rare):
        for name, count in zip(_RARE_TOKENS, rare, strict=True):
            if count:
                tokens[name.removesuffix("_tokens")] = count
    return tokens


def _attempt(attempt: Attempt) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "target": attempt.target.name,
        "outcome": attempt.outcome.label,
        "duration_s": int(attempt.duration_s * 1e6) / 1e6,
    }
    if attempt.part is not None:
        fields["part"] = attempt.part
    if attempt.detail:
        fields["detail"] = redact(attempt.detail, MAX_TEXT_CHARS)
    return fields


class _LineLogger:
    """Where structlog's chain ends."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: str) -> None:
        self._writer.write(f"{line}\n".encode())

    debug = info = warning = error = critical = exception = msg


class _Handler(logging.Handler):
    """Where the standard library's loggers end."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(f"{self.format(record)}\n".encode())
        except Exception:  # a message that cannot be formatted must not end the work it is about
            self.handleError(record)


def _redact_event(_logger: Any, _method: str, event: Fields) -> Fields:
    """The last processor before rendering: tracebacks are text by then, and masked too."""
    return {
        name: value if name.startswith("_") else redact_value({name: value})[name]
        for name, value in event.items()
    }


def _pretty_renderer(colors: bool) -> Callable[[Fields], str]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback
    )
    return lambda event: renderer(None, "", event)


def _report_loss(lines: int) -> None:
    structlog.get_logger().warning("log lines were lost: nobody read them in time", lines=lines)


def _render_json(event: Fields) -> str:
    first = {name: event.pop(name, None) for name in ("timestamp", "level", "event")}
    return orjson.dumps({**first, **event}).decode()
