"""Which neighbours go into one piece.

As many as there is room for, but a piece rather ends at a better seam if that leaves little room
unused. Where that leaves a crumb (less than a quarter of the budget: the rest of the script, or
of a scene that had to be cut), it shares evenly with the piece before it. Nothing else is evened
out: an edited scene moves the cuts up to the next good seam, and the pieces behind stay the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.chunking.script import Seam

_INNER = tuple(seam for seam in Seam if seam is not Seam.END)


@dataclass(frozen=True)
class Row:
    """Stretches that join, none of which has to be cut. Place ``k`` is behind the first ``k``."""

    ends: Sequence[int]
    seams: Sequence[Seam]
    """What a cut behind each of them would be."""
    weights: Sequence[int]
    """Tokens, about."""
    sums: list[int] = field(init=False)
    """Of the weights before each place."""
    places: dict[Seam, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        sums, total = [0], 0
        places: dict[Seam, list[int]] = {seam: [] for seam in Seam}
        for place, (weight, seam) in enumerate(zip(self.weights, self.seams, strict=True), 1):
            total += weight
            sums.append(total)
            places[seam].append(place)
        object.__setattr__(self, "sums", sums)
        object.__setattr__(self, "places", places)

    def weight(self, first: int, last: int) -> int:
        """Between two places."""
        return self.sums[last] - self.sums[first]


def pack(row: Row, budget: int) -> list[int]:
    """The places where pieces end; none weighs more than ``budget`` unless one stretch does."""
    places = [0]
    count = len(row.ends)
    while (first := places[-1]) < count:
        furthest = bisect_right(row.sums, row.sums[first] + budget) - 1
        furthest = max(furthest, first + 1)
        places.append(furthest if furthest == count else _end_of_piece(row, first, furthest))
    for number in range(2, len(places)):
        first, place, last = places[number - 2 : number + 1]
        if 4 * row.weight(place, last) < budget:
            places[number - 1] = _shared(row, first, place, last, budget)
    return places[1:]


def _shared(row: Row, first: int, place: int, last: int, budget: int) -> int:
    """Where to end a piece that a crumb follows."""
    better = even_cut(row, first, last)
    if better and max(row.weight(first, better), row.weight(better, last)) <= budget:
        return better
    return place


def _end_of_piece(row: Row, first: int, furthest: int) -> int:
    """The best seam in reach. An episode's end may leave a quarter of the room unused, any other
    seam half of it, before a worse one is taken."""
    room = row.weight(first, furthest)
    for seam in _INNER:
        place = _last_up_to(row.places[seam], furthest)
        least = 3 if seam is Seam.EPISODE else 2
        if place > first and 4 * row.weight(first, place) >= least * room:
            return place
    return furthest


def even_cut(row: Row, first: int, last: int) -> int | None:
    """The best seam that leaves at least a third on either side, the most even one of its kind."""
    total = row.weight(first, last)
    middle = bisect_right(row.sums, row.sums[first] + total // 2) - 1
    for seam in _INNER:
        places = row.places[seam]
        behind = bisect_right(places, middle)
        near = [place for place in places[max(0, behind - 1) : behind + 1] if first < place < last]
        if near:
            best = max(near, key=lambda place: _smaller_side(row, first, place, last))
            if 3 * _smaller_side(row, first, best, last) >= total:
                return best
    return None


def _smaller_side(row: Row, first: int, place: int, last: int) -> int:
    return min(row.weight(first, place), row.weight(place, last))


def _last_up_to(places: list[int], place: int) -> int:
    behind = bisect_right(places, place)
    return places[behind - 1] if behind else 0
