"""Who may come in at a connection while there is too much to do, and what the others are told.

The door asks the same a little later, of every call. Here it is asked before a parser, a task and a
handler have cost anything.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.errors import CallError, Outcome

from .auth import KeyRing, authenticate
from .refusals import error_bytes

_MARK = "req_"


class Arrivals(Protocol):
    """Calls that were let in and are not in flight yet."""

    def enter(self, key: str) -> None: ...

    def leave(self, key: str) -> None: ...


class Overload(Protocol):
    """Whether there is too much to do."""

    @property
    def is_tight(self) -> bool:
        """Calls have been shed, a moment ago."""

    @property
    def arrivals(self) -> Arrivals:
        """Where a call that is let in now is counted until it is in flight."""

    def sheds(self, key: str) -> bool:
        """Whether another call of the key is refused; counted if it is."""


class LetIn(NamedTuple):
    """A call that is counted until ``leave``, once."""

    arrivals: Arrivals
    key: str

    def leave(self) -> None:
        self.arrivals.leave(self.key)


class Turnstile:
    """``wall_clock`` counts seconds since 1970; while ``is_leaving``, everybody is sent on to the
    door, which tells them that their connection closes."""

    def __init__(
        self,
        ring: KeyRing,
        overload: Overload,
        is_leaving: Callable[[], bool],
        wall_clock: Callable[[], float],
    ) -> None:
        self.overload = overload
        self._ring = ring
        self._is_leaving = is_leaving
        self._wall_clock = wall_clock
        self._ids = map(f"{secrets.token_hex(6)}{{:08x}}".format, itertools.count(1))
        self._second = -1
        self._until_id = self._from_id = b""

    def ask(self, authorization: str) -> LetIn | bytes | None:
        """How a call is counted that may come in; the answer to one that is shed; None where it is
        for the door to say."""
        if self._is_leaving():
            return None
        try:
            key = authenticate({"Authorization": authorization}, self._ring).key_id
        except CallError:
            return None
        if not self.overload.sheds(key):
            arrivals = self.overload.arrivals
            arrivals.enter(key)
            return LetIn(arrivals, key)
        if (second := int(self._wall_clock())) != self._second:
            self._second = second
            self._prepare()
        return b"%b%b%b" % (self._until_id, next(self._ids).encode(), self._from_id)

    def _prepare(self) -> None:
        error = CallError(
            Outcome.OVERLOADED,
            "the gateway has more to do than it can; try again in a second",
            retry_after_s=1.0,
        )
        before, mark, behind = error_bytes(error, _MARK, stays_open=True).partition(_MARK.encode())
        self._until_id, self._from_id = before + mark, behind
