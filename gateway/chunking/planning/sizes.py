"""How much of a script a part may have at a target, and how long its answer may be.

All figures are tokens. ``around`` is what goes with each part: the frame and the largest context.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.schema import Target

UNBOUNDED = 1 << 62
MIN_PART_TOKENS = 50
"""A model whose window leaves less for a part of the script is not asked."""
ANSWER_SHARE = 1.3
"""An answer that keeps its scenes is at most about so much longer than they are."""
ANSWER_SLACK_TOKENS = 64
TEXT_ANSWER_TOKENS = 2048
"""Kept free for an answer of another kind."""
SHORT_ANSWER_TOKENS = 512
"""The least that is kept free for an answer to a call that is sent as it is."""
JOIN_BUDGETS = 16
"""Answers that are made into one by one request have together so many times the budget of a
part: each of them says less than the part it is about."""
JOINED_AT_LEAST = 3
"""So many answers fit into such a request, however long they are."""
MIN_CAP_TOKENS = 64


def answer_tokens(part_tokens: int) -> int:
    """The room that an answer needs which keeps its scenes."""
    return int(part_tokens * ANSWER_SHARE) + ANSWER_SLACK_TOKENS


def largest_part(target: Target, around: int, cap: int | None, *, keeps_scenes: bool) -> int:
    """Less than MIN_PART_TOKENS, or below 0, where there is no room for one. ``cap``: the most
    that an answer may have."""
    left = (target.context_tokens or UNBOUNDED) - around
    if not keeps_scenes:
        return left - min(cap or TEXT_ANSWER_TOKENS, TEXT_ANSWER_TOKENS, left // 4)
    by_window = int((left - ANSWER_SLACK_TOKENS) / (1 + ANSWER_SHARE))
    by_cap = int(((cap or UNBOUNDED) - ANSWER_SLACK_TOKENS) / ANSWER_SHARE)
    return min(by_window, by_cap)


class Sizes(NamedTuple):
    """Those of one call that is cut, at all of its targets."""

    budget: int
    """Of script in a part."""
    window: int
    """The smallest target's, in the tokens of the first."""
    around: int
    cap: int
    """The most that an answer may have."""

    @property
    def _least_cap(self) -> int:
        """A client that asks for less gets no more than that."""
        return min(MIN_CAP_TOKENS, self.cap)

    def cap_of(self, part_tokens: int) -> int:
        """The cap on the answer to a part."""
        left = self.window - self.around - part_tokens
        return max(self._least_cap, min(self.cap, 2 * part_tokens + 2048, left))

    def cap_of_noted(self, part_tokens: int) -> int:
        """The same where it is to be joined with others."""
        return min(self.cap_of(part_tokens), self.join_cap)

    @property
    def last_cap(self) -> int:
        """The cap on the answer that all others are made into."""
        return max(self._least_cap, min(self.cap, (self.window - self.around) // 4))

    @property
    def join(self) -> int:
        """Of answers in one request."""
        left = self.window - self.around - self.last_cap
        return max(MIN_PART_TOKENS, min(left, JOIN_BUDGETS * self.budget))

    @property
    def join_cap(self) -> int:
        """The cap on an answer that will be joined with others."""
        return max(self._least_cap, min(self.last_cap, self.join // JOINED_AT_LEAST))

    def joins(self, answers: int) -> int:
        """How many requests at most make one answer of so many; of one, too, since the last
        request is the client's own."""
        requests, at_once = 0, max(2, self.join // self.join_cap)
        while answers > 1:
            groups = -(-answers // at_once)
            requests += groups - (answers % at_once == 1)  # one that is left over goes on as it is
            answers = groups
        return max(1, requests)
