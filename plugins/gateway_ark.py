"""Volcengine Ark (Doubao and others). A target's model may be an endpoint id, ``ep-…``.

BytePlus is reached by ``base_url``. Error codes as collected on 2026-11-22, not checked against
the page: https://www.volcengine.com/docs/82379/1299023.
"""

from __future__ import annotations

from typing import ClassVar

from gateway import OpenAICompatible, Outcome, ProviderSettings, RegisterProvider, hookimpl


class Ark(OpenAICompatible):
    base_url = "https://ark.cn-beijing.volces.com/api/v3"
    error_codes: ClassVar = {
        "SensitiveContentDetected": Outcome.CONTENT_POLICY,
        "SensitiveContentDetected.SevereViolation": Outcome.CONTENT_POLICY,
        "SensitiveContentDetected.Violence": Outcome.CONTENT_POLICY,
        "InputTextSensitiveContentDetected": Outcome.CONTENT_POLICY,
        "OutputTextSensitiveContentDetected": Outcome.CONTENT_POLICY,
        "ServerOverloaded": Outcome.UPSTREAM_OVERLOADED,
    }


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("ark", ProviderSettings, Ark)
