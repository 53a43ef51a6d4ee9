"""What is set aside for one call, and what its parts have of it.

A call that is cut has one hold in the ledger. Each part that is under way has a share of it, which
is a hold to whoever spends from it. Nothing here waits: two parts never see the same room.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.ledger import HoldRequest
from gateway.schema import Target

from .risk import Risk


@dataclass(slots=True, eq=False)
class Hold:
    """What is set aside for one call or, with ``whole``, for one part of it."""

    request: HoldRequest
    warnings: tuple[str, ...] = ()
    covered: tuple[Target, ...] = ()
    """Targets that it was made for: for any one of them it is enough."""
    charged_nano: int = 0
    """Of it, by attempts that have ended, in the hold's currency."""
    whole: Hold | None = None
    """The hold of the call, in which this one is a share."""
    shared_nano: int = 0
    """Of it, the room of shares that were not given back."""
    risk: Risk | None = None
    """Of it, what parts can have spent; None as long as there are none."""
    noted: int = 0
    """Attempts at parts that were noted in the ledger."""
    is_over: bool = False
    """Of a share: it was given back."""

    @property
    def room_nano(self) -> int:
        """What is neither charged nor a part's. (Amounts are rounded up where they are converted,
        and can pass a hold by a billionth each.)"""
        return self.request.amount_nano - self.charged_nano - self.shared_nano

    def share(self, covered: tuple[Target, ...]) -> Hold:
        """A share with nothing in it yet."""
        if self.risk is None:  # it was not cut when it was held: all of that is at risk
            self.risk = Risk(self.request.amount_nano, self.charged_nano)
            self.request = self.request._replace(at_risk_nano=self.request.amount_nano)
        request = self.request._replace(amount_nano=0)
        return Hold(request, covered=covered, whole=self, risk=self.risk)

    def charge(self, nano: int) -> None:
        """To a share and to the whole, whose other room stays as it is."""
        self.charged_nano += nano
        if self.whole is not None:
            self.whole.charged_nano += nano
            self.whole.shared_nano -= nano

    def draw(self, wanted_nano: int) -> int:
        """Take as much from the whole's room as there is of what is wanted; how much that was.
        It may be sent once the whole's ``risk`` covers it."""
        if self.whole is None:
            return 0
        drawn_nano = max(0, min(wanted_nano, self.whole.room_nano))
        self._move(drawn_nano)
        return drawn_nano

    def put_back(self, nano: int) -> None:
        """Of what was drawn. The whole of a call's hold only ends with the call."""
        self._move(-nano)

    def grow(self, nano: int) -> None:
        """The ledger has granted so much more."""
        if self.whole is None:
            self._add(nano)
        else:
            self.whole._add(nano)
            self._move(nano)

    def give_back(self) -> bool:
        """A share has ended: what is left of it is the whole's. A second time does nothing;
        whether this was the first."""
        if self.is_over or self.whole is None or self.risk is None:
            return False
        self.is_over = True
        self.risk.put_back(self.room_nano)
        self.put_back(self.room_nano)
        return True

    def _move(self, nano: int) -> None:
        if self.whole is not None:
            self.whole.shared_nano += nano
            self._add(nano)

    def _add(self, nano: int) -> None:
        self.request = self.request._replace(amount_nano=self.request.amount_nano + nano)
