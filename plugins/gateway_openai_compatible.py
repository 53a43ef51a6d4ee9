"""Any upstream that speaks OpenAI, by ``base_url`` alone: vLLM, llama.cpp, relays, gateways."""

from __future__ import annotations

from gateway import OpenAICompatible, ProviderSettings, RegisterProvider, hookimpl


class Settings(ProviderSettings):
    base_url: str


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("openai-compatible", Settings, OpenAICompatible)
