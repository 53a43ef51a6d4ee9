"""HolySheep, a relay: many vendors' models behind one OpenAI-shaped address.

Address as collected on 2026-11-22, not checked against the site: https://www.holysheep.ai.
"""

from __future__ import annotations

from gateway import OpenAICompatible, ProviderSettings, RegisterProvider, hookimpl


class HolySheep(OpenAICompatible):
    base_url = "https://api.holysheep.ai/v1"


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("holysheep", ProviderSettings, HolySheep)
