"""What calls will cost: the most is the hold that the call gets, and the sum is the sum."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config_media_prices import MediaPriceConfig
from gateway.config_prices import TokenPriceConfig
from gateway.errors import CallError, Outcome
from gateway.ledger import CURRENCIES, ExchangeRate, Granted, HoldRequest
from gateway.money.prices import PriceBook
from gateway.money.purse import Purse
from gateway.money.quotes import Planning, Quoter
from gateway.quote import Asked, Quote, Range
from gateway.schema import Call, Caller, Capability, Plan, Target

AT_S = 1_795_348_800.0
RATE = ExchangeRate(7_100_000_000, "2026-11-20", "a bank")
MAX_ATTEMPTS = 3

CHEAP, DEAR, YUAN, LONG = (
    Target("studio", name, name) for name in ("cheap", "dear", "yuan", "long")
)
GRATIS = Target("studio", "gratis", "gratis")
SECRET = Target("studio", "secret", "secret")
EURO = Target("studio", "euro", "euro")
STAND_IN = Target("stage", "extra", "cheap", rehearsal=True, stands_for=CHEAP)
NOBODY = Target("stage", "nobody", "nobody", rehearsal=True)
CAMERA = Target("studio", "camera", "camera", frozenset({Capability.VIDEO}))
PAINTER = Target("studio", "painter", "painter", frozenset({Capability.IMAGE}))
VOICE = Target("studio", "voice", "voice")


def tokens(**price: Any) -> TokenPriceConfig:
    return TokenPriceConfig.model_validate(price)


def made(**price: Any) -> MediaPriceConfig:
    return MediaPriceConfig.model_validate(price)


PRICES = {
    "cheap": tokens(input_per_mtok="0.3", cache_read_per_mtok="0.03", output_per_mtok="0.4"),
    "dear": tokens(input_per_mtok="3", cache_write_per_mtok="3.75", output_per_mtok="15"),
    "yuan": tokens(currency="CNY", input_per_mtok="2", output_per_mtok="8"),
    "long": tokens(
        input_per_mtok="1",
        output_per_mtok="4",
        tiers=[{"above_input_tokens": 300, "input_per_mtok": "2", "output_per_mtok": "8"}],
    ),
    "gratis": tokens(free=True),
    "euro": tokens(currency="EUR", input_per_mtok="2", output_per_mtok="8"),
    "camera": made(
        currency="CNY",
        rules=[
            {"per": "second", "price": "0.6", "resolution": "720p", "has_audio": False},
            {"per": "second", "price": "0.9", "resolution": "720p", "has_audio": True},
            {"per": "second", "price": "1.2", "resolution": "1080p"},
        ],
    ),
    "painter": made(rules=[{"per": "image", "price": "0.04"}]),
    "voice": made(
        currency="CNY", han_character=2, rules=[{"per": "10k_characters", "price": "3.5"}]
    ),
}
MEDIA = {target.model: [target] for target in (CAMERA, PAINTER, VOICE)}
MEDIA["any"] = [PAINTER, CAMERA]


@cache
def book() -> PriceBook:
    return PriceBook.load(overrides=PRICES)


class Memory:
    """A ledger without budgets: grants everything and remembers it."""

    def __init__(self) -> None:
        self.asked: list[HoldRequest] = []

    async def hold(self, request: HoldRequest) -> Granted:
        self.asked.append(request)
        return Granted()

    def close(self, make_closing: Any) -> None:
        make_closing()


class Desk:
    """A quoter and the purse that calls would be paid from, over one set of routes."""

    def __init__(
        self, routes: Mapping[str, tuple[Target, ...]], currency: str = "CNY", cap: int = 2_000
    ) -> None:
        self.routes = routes
        self.cap = cap
        self.ledger = Memory()
        prices = book()
        self.purse = Purse(self.ledger, prices, RATE, MAX_ATTEMPTS, {})
        planning = Planning(
            self.plan,
            self.purse.hold_for,
            lambda call: max(1, call.body_bytes // 4),
            lambda name: MEDIA.get(name, ()),
            {"chat", "embeddings"},
            MAX_ATTEMPTS,
        )
        self.quoter = Quoter(planning, prices, RATE, currency)

    def plan(self, call: Call) -> Plan:
        return Plan(self.routes[call.model], call.body, "task", call.model, None, self.cap)

    def held(self, call: Call) -> HoldRequest:
        """What the call would hold if it were made."""
        asyncio.run(self.purse.hold(call, self.plan(call)))
        return self.ledger.asked.pop()

    def quote(self, *asked: Asked) -> Quote:
        return self.quoter.quote(asked)


def chat(
    model: str = "draft", content: Any = "rain", caller: Caller | None = None, **fields: Any
) -> Call:
    return order("chat", model, caller, messages=[{"role": "user", "content": content}], **fields)


def order(endpoint: str, model: str, caller: Caller | None = None, **fields: Any) -> Call:
    body = {"model": model, **fields}
    size = len(orjson.dumps(body))
    return Call("call", endpoint, caller or Caller("k1"), model, body, size, AT_S, 0.0)


def refusal(*asked: Asked, routes: Mapping[str, tuple[Target, ...]] | None = None) -> CallError:
    with pytest.raises(CallError) as caught:
        Desk(routes or {"draft": (CHEAP,)}).quote(*asked)
    return caught.value


contents = st.one_of(
    st.text(max_size=2_000),
    st.lists(
        st.one_of(
            st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=400)),
            st.just({"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}),
        ),
        min_size=1,
        max_size=4,
    ),
)
fields = st.fixed_dictionaries(
    {}, optional={"max_tokens": st.integers(1, 200_000), "n": st.integers(1, 5)}
)
sized = st.builds(
    lambda target, context, cap: Target(
        target.provider, target.model, target.public_model, target.capabilities, context, cap,
        rehearsal=target.rehearsal, stands_for=target.stands_for,
    ),
    st.sampled_from([CHEAP, DEAR, YUAN, LONG, GRATIS, STAND_IN, NOBODY]),
    st.none() | st.integers(100, 1_000_000),
    st.none() | st.integers(1, 100_000),
)  # fmt: skip
routes = st.lists(sized, min_size=1, max_size=5).map(
    lambda targets: tuple(sorted(targets, key=lambda target: target.rehearsal))
)
asked_calls = st.builds(
    lambda content, more, copies: Asked(chat(content=content, **more), copies),
    contents,
    fields,
    st.integers(1, 1_000),
)


def in_order(cost: Range) -> bool:
    return 0 <= cost.min_nano <= cost.likely_nano <= cost.max_nano


@given(route=routes, entries=st.lists(asked_calls, min_size=1, max_size=4))
def test_the_least_is_never_more_than_the_likely_nor_that_than_the_most(route, entries) -> None:
    quote = Desk({"draft": route}).quote(*entries)
    costs = [
        cost for call in quote.calls for cost in (call.cost, *(c.cost for c in call.candidates))
    ]
    assert all(map(in_order, [*costs, *quote.total.values()]))


@given(route=routes, entry=asked_calls)
def test_the_most_is_the_hold_that_the_call_gets(route, entry) -> None:
    desk = Desk({"draft": route})
    (quoted,) = desk.quote(entry).calls
    held = desk.held(entry.call)
    assert (quoted.cost.max_nano, quoted.currency) == (held.amount_nano, held.currency)
    assert quoted.rehearsal is held.rehearsal


@given(route=routes, other=routes, entries=st.lists(asked_calls, min_size=1, max_size=4))
def test_the_sum_is_the_sum_in_both_currencies(route, other, entries) -> None:
    desk = Desk({"draft": route, "polish": other})
    more = [entry._replace(call=chat("polish")) for entry in entries]
    quote = desk.quote(*entries, *more)
    for currency in CURRENCIES:
        summed = [0, 0, 0]
        for call in quote.calls:
            for i, nano in enumerate(call.cost):
                summed[i] += RATE.convert(nano, call.currency, currency) * call.asked.copies
        assert tuple(summed) == quote.total[currency]


@given(route=routes, other=routes, entries=st.lists(asked_calls, min_size=1, max_size=4))
def test_what_is_set_aside_is_enough_for_every_call_that_may_draw_from_it(
    route, other, entries
) -> None:
    desk = Desk({"draft": route, "polish": other})
    entries = [*entries, Asked(chat("polish"), 3)]
    quote = desk.quote(*entries)
    left = quote.hold_nano
    for entry in entries:
        held = desk.held(entry.call)
        if held.rehearsal is quote.rehearsal:
            asked = RATE.convert(held.amount_nano, held.currency, quote.currency)
            left -= asked * entry.copies
    assert left == 0


@given(route=routes, entry=asked_calls)
def test_the_lines_add_up_to_the_most(route, entry) -> None:
    (quoted,) = Desk({"draft": route}).quote(entry).calls
    for candidate in quoted.candidates:
        assert sum(line.cost_nano for line in candidate.lines) == candidate.cost.max_nano


def test_the_likely_output_is_half_of_the_cap() -> None:
    (quoted,) = Desk({"draft": (CHEAP,)}).quote(Asked(chat())).calls
    assert "1000 out: half of the cap of 2000, at most 1500" in quoted.candidates[0].likely_by


def test_a_large_cap_does_not_make_the_likely_output_larger() -> None:
    (quoted,) = Desk({"draft": (CHEAP,)}, cap=9_000).quote(Asked(chat())).calls
    assert "1500 out: half of the cap of 9000, at most 1500" in quoted.candidates[0].likely_by


def test_only_targets_that_may_be_tried_are_candidates() -> None:
    (quoted,) = Desk({"draft": (CHEAP, YUAN, LONG, DEAR)}).quote(Asked(chat())).calls
    assert [candidate.target for candidate in quoted.candidates] == [
        "studio/cheap", "studio/yuan", "studio/long",
    ]  # fmt: skip


def test_the_likely_figure_is_that_of_the_target_tried_first() -> None:
    (quoted,) = Desk({"draft": (DEAR, CHEAP)}).quote(Asked(chat())).calls
    dear, cheap = quoted.candidates
    assert quoted.cost == (cheap.cost.min_nano, dear.cost.likely_nano, dear.cost.max_nano)


def test_a_list_of_stand_ins_is_a_rehearsal_at_the_price_of_what_they_stand_for() -> None:
    desk = Desk({"draft": (STAND_IN,), "shoot": (CHEAP,)})
    rehearsed, paid = desk.quote(Asked(chat())), desk.quote(Asked(chat("shoot")))
    assert rehearsed.rehearsal
    assert rehearsed.hold_nano == rehearsed.total["USD"].max_nano
    assert rehearsed.hold_nano == paid.hold_nano
    assert rehearsed.calls[0].candidates[0].stands_for == "studio/cheap"


def test_beside_paid_calls_rehearsed_ones_are_in_the_total_and_not_in_the_hold() -> None:
    desk = Desk({"draft": (STAND_IN,), "real": (CHEAP,)})
    paid = desk.quote(Asked(chat("real")))
    both = desk.quote(Asked(chat("real")), Asked(chat(), 7))
    assert both.hold_nano == paid.hold_nano
    assert both.total["USD"].max_nano > paid.total["USD"].max_nano
    assert not both.rehearsal
    assert both.warnings[0].startswith("only stand-ins answer 7 of these calls")


def test_calls_in_one_currency_are_held_in_it_and_others_in_the_configured_one() -> None:
    desk = Desk({"draft": (CHEAP,), "yuan": (YUAN,)}, currency="CNY")
    assert desk.quote(Asked(chat()), Asked(chat(max_tokens=5))).currency == "USD"
    assert desk.quote(Asked(chat()), Asked(chat("yuan"))).currency == "CNY"


def test_a_quote_is_for_the_place_that_all_its_calls_have_in_common() -> None:
    callers = [Caller("k1", project="market", episode="7", scene=scene) for scene in "12"]
    quote = Desk({"draft": (CHEAP,)}).quote(*(Asked(chat(caller=caller)) for caller in callers))
    assert quote.place._asdict() == dict.fromkeys(quote.place._fields) | {
        "project": "market", "episode": "7", "key": "k1", "task": "draft",
    }  # fmt: skip


def test_alike_calls_are_quoted_alike_and_each_keeps_its_own_name() -> None:
    first, second = (
        Desk({"draft": (CHEAP,)}).quote(Asked(chat(), 2, "a"), Asked(chat(), 3, "b")).calls
    )
    assert first.cost == second.cost
    assert [(c.asked.custom_id, c.asked.copies) for c in (first, second)] == [("a", 2), ("b", 3)]


def test_what_is_free_needs_no_money_at_all() -> None:
    (quoted,) = Desk({"draft": (GRATIS,)}).quote(Asked(chat())).calls
    assert quoted.cost == Range(0, 0, 0)
    assert quoted.candidates[0].lines == ()


def test_what_nobody_prices_is_an_error_that_names_the_entry() -> None:
    error = refusal(
        Asked(chat(), where="requests[0]"), Asked(chat("mystery"), where="requests[1]"),
        routes={"draft": (CHEAP,), "mystery": (SECRET,)},
    )  # fmt: skip
    assert error.outcome is Outcome.INVALID_REQUEST
    assert (error.param, error.code) == ("requests[1].model", "no_price")
    assert error.message.startswith("requests[1]: no price is known for studio/secret")


def test_a_price_in_a_currency_without_a_rate_is_an_error() -> None:
    error = refusal(Asked(chat("euro")), routes={"euro": (EURO,)})
    assert (error.outcome, error.code) == (Outcome.INVALID_REQUEST, "no_price")


def test_more_money_than_the_ledger_can_count_is_an_error() -> None:
    huge = Target("studio", "dear", "dear", context_tokens=1 << 41, max_output_tokens=1 << 41)
    plan = {"draft": (huge,)}
    entries = [Asked(chat(n=100_000), 100_000) for _ in range(10)]
    assert refusal(*entries, routes=plan).code == "no_price"


# Images, video, speech


def media(endpoint: str, model: str, **fields: Any) -> Quote:
    return Desk({}).quote(Asked(order(endpoint, model, **fields)))


def test_a_picture_that_is_fully_described_costs_one_price() -> None:
    (call,) = media("images", "painter", prompt="rain", n=3).calls
    assert call.cost == Range(*[120_000_000] * 3)
    assert not call.served


@pytest.mark.parametrize(
    "length",
    [{"seconds": "5"}, {"duration": 5}, {"num_frames": 120, "fps": 24}],
    ids=lambda length: next(iter(length)),
)
def test_a_clip_that_leaves_its_sound_open_has_a_range(length: dict[str, Any]) -> None:
    (call,) = media("video", "camera", prompt="rain", resolution="720p", **length).calls
    assert call.cost == Range(3_000_000_000, 4_500_000_000, 4_500_000_000)
    assert call.candidates[0].likely_by == "the dearest of what is left open"


def test_the_size_says_the_resolution() -> None:
    (call,) = media("video", "camera", prompt="x", seconds=5, size="1920x1080").calls
    assert call.cost == Range(*[6_000_000_000] * 3)


def test_chinese_characters_count_as_the_provider_counts_them() -> None:
    (call,) = media("speech", "voice", input="你好 rain", voice="lin").calls
    assert call.cost.max_nano == 9 * 350_000


def test_a_prompt_alone_is_what_its_model_makes() -> None:
    with pytest.raises(CallError) as caught:
        media("images", "camera", prompt="rain")
    assert caught.value.param == "seconds"


def test_a_work_is_priced_at_those_targets_that_can_make_it() -> None:
    (call,) = media("images", "any", prompt="rain").calls
    assert [candidate.target for candidate in call.candidates] == ["studio/painter"]


def test_a_model_of_the_price_tables_needs_no_configuration() -> None:
    (call,) = media("video", "kling/kling-v3", prompt="x", seconds=5, resolution="4k").calls
    assert call.candidates[0].cost.max_nano == 15_000_000_000
    assert call.candidates[0].price.startswith("https://klingai.com/")


@pytest.mark.parametrize(
    ("endpoint", "model", "fields", "param"),
    [
        ("images", "nobody-lists-this", {"prompt": "x"}, "model"),
        ("images", "painter", {"prompt": ""}, "prompt"),
        ("images", "painter", {"prompt": "x", "n": 0}, "n"),
        ("images", "painter", {"prompt": "x", "size": 3}, "size"),
        ("video", "camera", {"prompt": "x"}, "seconds"),
        ("video", "camera", {"prompt": "x", "seconds": "long"}, "seconds"),
        ("video", "camera", {"prompt": "x", "seconds": "nan"}, "seconds"),
        ("video", "camera", {"prompt": "x", "seconds": 0}, "seconds"),
        ("video", "camera", {"prompt": "x", "seconds": True, "resolution": "8k"}, "seconds"),
        ("video", "camera", {"prompt": "x", "seconds": 5, "n": 2}, "n"),
        ("video", "camera", {"prompt": "x", "seconds": 5, "resolution": "8k"}, "model"),
        ("video", "camera", {"prompt": "x", "seconds": 5, "video": "u"}, "input_video_seconds"),
        ("speech", "voice", {"input": ["x"], "voice": "lin"}, "input"),
    ],
)
def test_what_cannot_be_priced_names_its_field(endpoint, model, fields, param) -> None:
    with pytest.raises(CallError) as caught:
        media(endpoint, model, **fields)
    assert (caught.value.outcome, caught.value.param) == (Outcome.INVALID_REQUEST, param)


@given(
    st.dictionaries(
        st.sampled_from(["prompt", "input", "n", "seconds", "size", "fps", "image", "audio"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    ),
    st.sampled_from(["images", "video", "speech"]),
    st.sampled_from(["camera", "painter", "voice"]),
)
def test_any_body_is_priced_in_order_or_refused(body, endpoint, model) -> None:
    call = Call("call", endpoint, Caller("k1"), model, {"model": model, **body}, 1, AT_S, 0.0)
    with suppress(CallError):
        assert in_order(Desk({}).quote(Asked(call)).calls[0].cost)
