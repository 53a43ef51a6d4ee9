"""Ledger rows in the shape of FOCUS 1.2, the FinOps Open Cost and Usage Specification.

One row for each request, attempt and meter. ``ListUnitPrice`` x ``PricingQuantity`` is ``ListCost``
to the last digit on every row. The ledger rounds each row up to a billionth of a unit, so
``BilledCost`` may be higher than ``ListCost`` by less than that; over the rows of an attempt it
adds up to what was charged for it.

Source: https://focus.finops.org/focus-specification/v1-2 (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson

from gateway.ledger import AttemptRow, LedgerRow
from gateway.report_text import iso, spreadsheet_text

from .entries import Entry
from .focus_prices import WITHOUT_METER, decimal, exact_decimal, price_of, unit_of

FOCUS_COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost",
    "ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName",
    "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter",
    "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
)  # fmt: skip
OWN_COLUMNS = (
    "x_RequestId", "x_Attempt", "x_Part", "x_Meter", "x_StartedAt", "x_Task", "x_Tenant",
    "x_Season", "x_Episode", "x_Scene", "x_Shot", "x_Key", "x_User", "x_RequestedModel",
    "x_PublicModel", "x_RouteReason", "x_Outcome", "x_AttemptOutcome", "x_Estimated",
    "x_Clamped", "x_Recovered", "x_Rehearsal", "x_BaselineModel", "x_BaselineCost",
    "x_BaselineCurrency", "x_CnyPerUsd", "x_ExchangeRateDate", "x_ExchangeRateSource",
    "x_PriceSource",
)  # fmt: skip
COLUMNS = (*FOCUS_COLUMNS, *OWN_COLUMNS)
TAGS = ("tenant", "project", "season", "episode", "scene", "shot", "key", "user", "task")

Cells = dict[str, str]


def focus_rows(entry: Entry) -> Iterator[Cells]:
    """The rows of one request. Its baseline stands on the first, so that sums are right."""
    first = _baseline(entry)
    of_request = _request_cells(entry)
    for attempt, rows in entry.attempts:
        if attempt.currency is None:
            continue
        lines = rows or (_without_meter(attempt),)
        of_attempt = of_request | _attempt_cells(entry, attempt)
        for line, billed_nano in zip(lines, shares_of(attempt, lines), strict=True):
            yield of_attempt | _line_cells(attempt, line, billed_nano) | first
            first = {}


def shares_of(attempt: AttemptRow, lines: tuple[LedgerRow, ...]) -> list[int]:
    """What was charged for an attempt, spread over its lines: each gets its own cost as long as
    there is something left, the last one what is left over then."""
    left = attempt.cost_nano
    shares = []
    for line in lines:
        shares.append(min(line.cost_nano, left))
        left -= shares[-1]
    shares[-1] += left
    return shares


def _without_meter(attempt: AttemptRow) -> LedgerRow:
    nano = attempt.list_cost_nano
    return LedgerRow(attempt.request_id, attempt.number, WITHOUT_METER, 1, nano, 1, nano)


def _line_cells(attempt: AttemptRow, line: LedgerRow, billed_nano: int) -> Cells:
    unit = unit_of(line.meter)
    price = price_of(line, unit)
    sku = f"{attempt.provider}/{attempt.model}/{line.meter}"
    billed = decimal(billed_nano)
    # A stand-in's agreed price is nothing; what the call would have cost is its list price.
    agreed = ("0", "0") if attempt.rehearsal else (price.unit_price, price.cost)
    meter = line.meter.replace("_", " ").removesuffix(" ms")
    consumed = exact_decimal(line.quantity, unit.divisor) or str(line.quantity)
    return {
        "BilledCost": billed,
        "EffectiveCost": billed,
        "ContractedUnitPrice": agreed[0],
        "ContractedCost": agreed[1],
        "ListUnitPrice": price.unit_price,
        "ListCost": price.cost,
        "PricingQuantity": price.quantity,
        "PricingUnit": price.unit,
        "ConsumedQuantity": consumed,
        "ConsumedUnit": unit.name,
        "SkuId": sku,
        "SkuMeter": meter.title(),
        "SkuPriceId": f"{sku}@{line.rate_nano}/{line.per}",
        "ChargeDescription": f"{consumed} {unit.name.lower()}: {meter} of "
        f"{attempt.provider}/{attempt.model}",
        "x_Meter": line.meter,
    }


def _attempt_cells(entry: Entry, attempt: AttemptRow) -> Cells:
    currency = attempt.currency or ""
    return {
        "BillingAccountId": attempt.provider,
        "BillingAccountName": attempt.provider,
        "BillingCurrency": currency,
        "PricingCurrency": currency,
        "PricingCategory": "Other" if attempt.estimated else "Standard",
        "InvoiceIssuerName": attempt.provider,
        "ProviderName": attempt.provider,
        "PublisherName": attempt.provider,
        "ResourceId": f"{attempt.provider}/{attempt.model}",
        "ResourceName": attempt.model,
        "ResourceType": "Model",
        "x_Attempt": str(attempt.number),
        "x_Part": "" if attempt.part is None else str(attempt.part),
        "x_AttemptOutcome": attempt.outcome,
        "x_Estimated": _word(attempt.estimated),
        "x_Clamped": _word(attempt.clamped),
        "x_Rehearsal": _word(attempt.rehearsal),
        "x_PriceSource": attempt.price,
    }


def _request_cells(entry: Entry) -> Cells:
    request, rate = entry.request, entry.rate
    project = request.project or ""
    named = zip(TAGS, entry.place, strict=True)
    cells = _periods(request.started_us, request.duration_us) | {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": request.endpoint,
        "SubAccountId": project,
        "SubAccountName": project,
        "SubAccountType": "Project" if project else "",
        "Tags": orjson.dumps({tag: value for tag, value in named if value is not None}).decode(),
        "x_RequestId": request.id,
        "x_StartedAt": iso(request.started_us) or "",
        "x_Task": request.task or "",
        "x_Tenant": request.tenant or "",
        "x_Season": request.season or "",
        "x_Episode": request.episode or "",
        "x_Scene": request.scene or "",
        "x_Shot": request.shot or "",
        "x_Key": request.key_id or "",
        "x_User": request.user_id or "",
        "x_RequestedModel": request.requested_model,
        "x_PublicModel": request.public_model or "",
        "x_RouteReason": request.route_reason,
        "x_Outcome": request.outcome,
        "x_Recovered": _word(request.recovered),
        "x_CnyPerUsd": decimal(rate.cny_per_usd_nano) if rate else "",
        "x_ExchangeRateDate": rate.checked if rate else "",
        "x_ExchangeRateSource": rate.source if rate else "",
    }
    return {name: spreadsheet_text(text) for name, text in cells.items()}


def _baseline(entry: Entry) -> Cells:
    request = entry.request
    if request.baseline_nano is None:
        return {}
    return {
        "x_BaselineModel": request.baseline_model or "",
        "x_BaselineCost": decimal(request.baseline_nano),
        "x_BaselineCurrency": request.baseline_currency or "",
    }


def _periods(started_us: int, duration_us: int) -> Cells:
    """The call's time in whole seconds, its end exclusive, and the month in UTC it is billed in."""
    start_s = started_us // 1_000_000
    end_s = max(start_s + 1, -(-(started_us + duration_us) // 1_000_000))
    month = datetime.fromtimestamp(start_s, UTC).replace(day=1, hour=0, minute=0, second=0)
    next_month = (month + timedelta(days=31)).replace(day=1)
    return {
        "ChargePeriodStart": _second(start_s),
        "ChargePeriodEnd": _second(end_s),
        "BillingPeriodStart": _second(int(month.timestamp())),
        "BillingPeriodEnd": _second(int(next_month.timestamp())),
    }


def _second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _word(value: bool) -> str:
    return "true" if value else "false"
