"""The words of money: places, bills, holds, and the rows that are kept. Integers only.

Amounts are billionths (nano) of a currency's unit. What is rounded is rounded up, so that the
gateway's account is never less than the provider's.
"""

from __future__ import annotations

import re
from typing import NamedTuple

NANO = 1_000_000_000
MICRO = 1_000_000
"""Moments in rows are Unix microseconds."""
CURRENCIES = ("CNY", "USD")
"""Those that budgets may be in and that there is a rate between."""
LEVELS = ("tenant", "project", "season", "episode", "scene", "shot", "key", "user", "task")
"""What a budget can be set on, alone or together; the first six are the tree of a production."""


MAX_NAME_CHARS = 200
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def fault_of_name(text: str) -> str | None:
    """What keeps a text from being the name of anything at a level, to be said after whose it is;
    None if nothing does. A name is never cut: two that begin alike would share a budget."""
    if _CONTROL.search(text):
        return "contains a control character"
    if len(text.strip()) > MAX_NAME_CHARS:
        return f"is longer than {MAX_NAME_CHARS} characters"
    return None


class Place(NamedTuple):
    """Where a call belongs: one value for each of ``LEVELS``, None where nobody said."""

    tenant: str | None = None
    project: str | None = None
    season: str | None = None
    episode: str | None = None
    scene: str | None = None
    shot: str | None = None
    key: str | None = None
    user: str | None = None
    task: str | None = None


class Line(NamedTuple):
    """One meter of a bill: ``quantity`` units at ``rate_nano`` for every ``per`` of them."""

    meter: str
    quantity: int
    rate_nano: int
    per: int

    @property
    def cost_nano(self) -> int:
        return -(-self.quantity * self.rate_nano // self.per)


class Bill(NamedTuple):
    """What one attempt costs. ``cost_nano`` is charged; the lines add up to the list cost."""

    currency: str
    cost_nano: int
    list_cost_nano: int
    lines: tuple[Line, ...] = ()
    price: str = ""
    """Where the rates come from, with date or version."""
    estimated: bool = False
    """The provider never said what was used."""
    clamped: bool = False
    """The provider reported what cannot be: more than was held, or less than nothing."""


class ExchangeRate(NamedTuple):
    """What a dollar costs in yuan, and who says so; frozen into everything it was used for."""

    cny_per_usd_nano: int
    checked: str = ""
    source: str = ""

    def convert(self, nano: int, currency: str, to: str) -> int:
        """An amount in another currency, rounded up. ValueError for any but CNY and USD."""
        if currency == to:
            return nano
        if (currency, to) == ("USD", "CNY"):
            return -(-nano * self.cny_per_usd_nano // NANO)
        if (currency, to) == ("CNY", "USD"):
            return -(-nano * NANO // self.cny_per_usd_nano)
        raise ValueError(f"there is no exchange rate from {currency} to {to}")

    @property
    def id(self) -> str:
        return f"{self.cny_per_usd_nano}@{self.checked}"


class HoldRequest(NamedTuple):
    """Money to set aside. Also what is known of a hold that stands."""

    id: str
    place: Place
    started_us: int
    """When the call came in, Unix microseconds: decides which window's budget it is."""
    amount_nano: int
    currency: str
    rate: ExchangeRate
    rehearsal: bool = False
    """Counted beside the money that is spent, since none will be."""
    about: str = "{}"
    """JSON of what is known of the call, for whoever has to close it if this process dies."""
    parent: str | None = None
    """The admitted quote that it draws from."""
    extends: bool = False
    """More for a hold that stands already."""
    expires_us: int | None = None
    """Of an admitted quote, which no process owns."""
    at_risk_nano: int | None = None
    """Of a call that is cut: the most that all that was sent for it can have cost. None: all of
    the hold. In an extension: so much more than before."""
    noted: tuple[Note, ...] = ()
    """Of a hold that was found: what its parts used that have ended."""

    @property
    def is_only_at_risk(self) -> bool:
        """An extension without money: only more of what is held is at risk."""
        return self.extends and not self.amount_nano and self.at_risk_nano is not None


class Charge(NamedTuple):
    """What a closing moves into ``spent``."""

    currency: str
    cost_nano: int
    rehearsed_nano: int = 0


class RequestRow(NamedTuple):
    """A row of the table ``requests``; the fields are its columns."""

    id: str
    started_us: int
    duration_us: int
    endpoint: str
    tenant: str | None
    project: str | None
    season: str | None
    episode: str | None
    scene: str | None
    shot: str | None
    key_id: str | None
    user_id: str | None
    task: str | None
    requested_model: str
    route_reason: str
    stream: bool
    outcome: str
    provider: str | None
    model: str | None
    public_model: str | None
    rehearsal: bool
    recovered: bool
    held_nano: int
    held_currency: str
    exchange_rate: str
    baseline_model: str | None
    baseline_nano: int | None
    baseline_currency: str | None
    replayed: str = ""
    """Why nothing was sent for it; empty if it was. ``parts``: it was cut, and its
    answer is made of kept ones."""
    saved_nano: int = 0
    """The list cost of an answer that was given again, for nothing."""
    saved_currency: str | None = None


class AttemptRow(NamedTuple):
    """A row of the table ``attempts``."""

    request_id: str
    number: int
    provider: str
    model: str
    outcome: str
    duration_us: int
    rehearsal: bool
    currency: str | None
    cost_nano: int
    list_cost_nano: int
    estimated: bool
    clamped: bool
    price: str
    part: int | None = None
    """Of a call that was cut: which of its parts this was a try at, from 1."""


class LedgerRow(NamedTuple):
    """A row of the table ``ledger``."""

    request_id: str
    attempt: int
    meter: str
    quantity: int
    rate_nano: int
    per: int
    cost_nano: int


class Note(NamedTuple):
    """What a part of a call used that has ended, written down while the call goes on."""

    hold_id: str
    number: int
    """Of its first attempt. A note is taken once, however often it is written."""
    attempts: tuple[AttemptRow, ...]
    lines: tuple[LedgerRow, ...]
    more_at_risk_nano: int = 0
    """By how much more of the hold is at risk than before, or less."""


class Closing(NamedTuple):
    """The end of a hold: what was charged, and the rows that say why. No row: a plain release."""

    hold: HoldRequest
    charges: tuple[Charge, ...] = ()
    request: RequestRow | None = None
    attempts: tuple[AttemptRow, ...] = ()
    lines: tuple[LedgerRow, ...] = ()
    was_held: bool = True
    """False for a call that was answered for nothing: its rows are all there is to write."""


class Granted(NamedTuple):
    """The hold stands. ``warnings`` name soft budgets and marks that were passed."""

    warnings: tuple[str, ...] = ()


class Refused(NamedTuple):
    """Nothing is held: this budget has no room, or the quote that was to be drawn from."""

    message: str
    retry_at_s: int | None = None
    """When there is room again, if that is known."""

    def retry_after_s(self, now_s: float) -> int | None:
        """The same as seconds from now, one at least."""
        return None if self.retry_at_s is None else max(1, self.retry_at_s - int(now_s))


Verdict = Granted | Refused
