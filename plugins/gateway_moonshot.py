"""Moonshot AI (Kimi). Its streams report usage inside the choice, its errors by ``type``.

The international address is reached by ``base_url``. Error types as collected on 2026-11-22, not
checked against the page: https://platform.kimi.com/docs/api/errors.
"""

from __future__ import annotations

from typing import ClassVar

from gateway import OpenAICompatible, Outcome, ProviderSettings, RegisterProvider, hookimpl


class Moonshot(OpenAICompatible):
    base_url = "https://api.moonshot.cn/v1"
    error_codes: ClassVar = {
        "engine_overloaded_error": Outcome.UPSTREAM_OVERLOADED,
        "exceeded_current_quota_error": Outcome.UPSTREAM_CREDENTIALS,
    }


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("moonshot", ProviderSettings, Moonshot)
