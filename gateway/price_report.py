"""What ``daobo prices`` prints: every price with its tiers, hours, source and a worked example."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table

from .assembly import Rooms
from .config_report import did_you_mean
from .errors import ConfigError
from .ledger import Line
from .money.media_price import MediaNotPricedError, MediaPrice, MediaRule
from .money.media_work import MediaWork
from .money.token_price import SUBSTITUTES, Phase, Rates, TokenPrice
from .price_words import describe_window, money, total, where
from .schema import TOKEN_CLASSES, Target, Usage

SAMPLE = Usage(input_tokens=4_000, output_tokens=1_000)
ALWAYS_SHOWN = ("input_tokens", "cache_read_tokens", "output_tokens")
IN_EFFECT = "← now"


class Shown(NamedTuple):
    """A target and what is known of its price."""

    title: str
    tokens: TokenPrice | None
    media: MediaPrice | None
    rehearsal: bool = False


def overview(rooms: Rooms, at_s: int) -> Table:
    """Every configured model and stand-in, with what its tokens cost at that Unix second."""
    columns = ("model", "target", "in/Mtok", "out/Mtok", "hours, or what is made", "source")
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2))
    for column in table.columns[:2]:
        column.overflow = "fold"
    for column in table.columns[2:4]:
        column.justify = "right"
    for name, route in rooms.catalog.models.items():
        for target in dict.fromkeys((*route.targets, *route.dormant)):
            if target.rehearsal and target.public_model != name:
                continue
            table.add_row(name, target.name, *_row(_shown(rooms, target), at_s))
    return table


def explain(rooms: Rooms, name: str, at_s: int) -> Group:
    """The prices behind a name: a model, a task, a target, or a model of any price table.

    Raises ConfigError with near names for one that leads nowhere.
    """
    found = list(_found(rooms, name))
    if not found:
        raise ConfigError(f"no price is known for {name!r}{did_you_mean(name, _names(rooms))}")
    return Group(*(part for shown in found for part in _explained(shown, at_s)))


def _found(rooms: Rooms, name: str) -> Iterator[Shown]:
    catalog = rooms.catalog
    route = catalog.models.get(name) or catalog.tasks.get(name) or catalog.targets.get(name)
    if route:
        targets = dict.fromkeys((*route.targets, *route.dormant))
        yield from (_shown(rooms, target) for target in sorted(targets, key=_is_stand_in))
        return
    wanted = name.casefold()
    pairs = [
        p for p in rooms.prices.listed() if wanted in (p[1].casefold(), "/".join(p).casefold())
    ]
    family, _, model = name.partition("/")
    for pair in dict.fromkeys(pairs) or ([(family, model)] if model else []):
        shown = _shown(rooms, Target(*pair, public_model=""))
        if shown.tokens or shown.media:
            yield shown


def _is_stand_in(target: Target) -> bool:
    return target.rehearsal


def _names(rooms: Rooms) -> list[str]:
    listed = [word for pair in rooms.prices.listed() for word in (pair[1], "/".join(pair))]
    catalog = rooms.catalog
    return [*catalog.models, *catalog.tasks, *catalog.targets, *dict.fromkeys(listed)]


def _shown(rooms: Rooms, target: Target) -> Shown:
    prices = rooms.prices
    return Shown(target.name, prices.price(target), prices.media_price(target), target.rehearsal)


def _row(shown: Shown, at_s: int) -> tuple[str, str, str, str]:
    if shown.rehearsal:
        return "", "", "a stand-in: bills nothing", ""
    if shown.tokens and shown.tokens.free:
        return "0", "0", "free", where(shown.tokens.source)
    if shown.tokens:
        price = shown.tokens
        rates = dict(zip(TOKEN_CLASSES, price.rates(0, at_s), strict=True))
        rate = [money(rates[name], price.currency) for name in ("input_tokens", "output_tokens")]
        return rate[0], rate[1], _hours_now(price, at_s), where(price.source)
    if shown.media:
        rules = "; ".join(_rule(rule, shown.media.currency) for rule in shown.media.rules)
        return "", "", rules, where(shown.media.source)
    return "", "", "no price is known", ""


def _hours_now(price: TokenPrice, at_s: int) -> str:
    """Whether these are the dear hours or the cheap ones, if there are such."""
    inputs = {phase.tiers[0].rates[0] for phase in _at_hours(price)}
    now = price.rates(0, at_s)[0]
    if len(inputs) < 2:
        return ""
    return "peak hours now" if now == max(inputs) else "off-peak hours now"


def _at_hours(price: TokenPrice) -> list[Phase]:
    return [phase for phase in price.phases if phase.window is None or phase.window.from_s == 0]


def _explained(shown: Shown, at_s: int) -> Iterator[RenderableType]:
    yield f"[bold]{shown.title}[/bold]"
    if shown.rehearsal:
        yield "a stand-in: it bills nothing and shows what the target it stands for would cost\n"
    elif shown.tokens is None and shown.media is None:
        yield "no price is known\n"
    if shown.tokens:
        yield from _token_parts(shown.tokens, at_s)
    if shown.media:
        yield from _media_parts(shown.media, at_s)


def _token_parts(price: TokenPrice, at_s: int) -> Iterator[RenderableType]:
    yield f"source: {price.source}"
    if price.free:
        yield "free: its tokens cost nothing\n"
        return
    names = _classes(tier.rates for phase in price.phases for tier in phase.tiers)
    heads = [name.removesuffix("_tokens").replace("_", " ") for name in names]
    table = Table(f"{price.currency} per million tokens", *heads, "", box=None, pad_edge=False)
    base = "otherwise" if len(price.phases) > 1 else "at any time"
    current = price.rates(SAMPLE.total_input_tokens, at_s)
    for phase in price.phases:
        for tier in phase.tiers:
            when = describe_window(phase.window) if phase.window else base
            if tier.above_input_tokens > 0:
                when += f", above {tier.above_input_tokens:,} tokens in"
            applies = tier.rates is current
            rates = dict(zip(TOKEN_CLASSES, tier.rates, strict=True))
            cells = [money(rates[name], price.currency) for name in names]
            table.add_row(when, *cells, IN_EFFECT if applies else "")
    yield table
    cost = price.cost(SAMPLE, at_s)
    yield (
        f"4,000 tokens in, 1,000 out: {total(cost.nano, price.currency)} = "
        f"{_sum(price.lines(SAMPLE, at_s), price.currency)}\n"
    )


def _classes(all_rates: Iterable[Rates]) -> list[str]:
    """The token classes that are priced apart from what stands in for them."""
    apart = set(ALWAYS_SHOWN)
    for rates in all_rates:
        named = dict(zip(TOKEN_CLASSES, rates, strict=True))
        apart |= {name for name, stand_in in SUBSTITUTES.items() if named[name] != named[stand_in]}
    return [name for name in TOKEN_CLASSES if name in apart]


def _media_parts(price: MediaPrice, at_s: int) -> Iterator[RenderableType]:
    yield f"source: {price.source}"
    if price.free:
        yield "free: what it makes costs nothing\n"
        return
    table = Table(f"{price.currency}", "per", "for", "", box=None, pad_edge=False)
    for rule in price.rules:
        when = f"{describe_window(rule.window)}" if rule.window else ""
        conditions = ", ".join(filter(None, (rule.conditions, when))) or "everything"
        applies = rule.window and rule.window.contains(at_s)
        amount = money(rule.rate_nano, price.currency)
        table.add_row(amount, rule.unit, conditions, IN_EFFECT if applies else "")
    yield table
    if price.han_character == 2:
        yield "a Chinese character counts as two"
    what, work = sample_work(price)
    try:
        lines = price.lines(work, at_s)
    except MediaNotPricedError as error:
        yield f"{what}: {error}\n"
        return
    cost = total(sum(line.cost_nano for line in lines), price.currency)
    yield f"{what}: {cost} = {_sum(lines, price.currency)}\n"


def sample_work(price: MediaPrice) -> tuple[str, MediaWork]:
    """A typical job for the price, in words and in quantities."""
    made = [rule for rule in price.rules if not rule.meter.startswith("input_")]
    rule = next((r for r in made if ("720p" in dict(r.wanted).get("resolution", ()))), made[0])
    chosen = {name: _typical(values) for name, values in rule.wanted}
    conditions = ", ".join(
        f"{'with' if value else 'without'} {name.removeprefix('has_').replace('_', ' ')}"
        if isinstance(value, bool)
        else f"{'at ' if name == 'resolution' else ''}{value}"
        for name, value in chosen.items()
    )
    quantity, work = _typical_quantity(rule)
    return ", ".join(filter(None, (quantity, conditions))), work._replace(**chosen)  # type: ignore[arg-type]


def _typical(values: tuple[str | bool, ...]) -> str | bool:
    return "720p" if "720p" in values else values[0]


def _typical_quantity(rule: MediaRule) -> tuple[str, MediaWork]:
    match rule.meter:
        case "images":
            return "1 image", MediaWork(images=1)
        case "characters":
            return "1,000 characters", MediaWork(characters=1_000)
        case "audio_ms":
            return "60 s of audio", MediaWork(audio_ms=60_000)
    seconds = min(8, rule.up_to_ms // 1000) if rule.up_to_ms else 8
    return f"{seconds} s of video", MediaWork(duration_ms=seconds * 1000)


def _rule(rule: MediaRule, currency: str) -> str:
    return f"{money(rule.rate_nano, currency)} {rule}"


def _sum(lines: Iterable[Line], currency: str) -> str:
    return " + ".join(
        f"{line.quantity:,} {line.meter.replace('_', ' ')} x {money(line.rate_nano, currency)}"
        + (f" per {line.per:,}" if line.per > 1 else "")
        for line in lines
    )
