"""What ``daobo serve`` says when it is ready, and the tables of ``daobo check``."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .app import Gateway
from .lifetime import Listen

MODEL_IN_EXAMPLE = "draft"


def greet(out: Console, gateway: Gateway, listen: Listen, new_key: str | None) -> None:
    """Print where it is, the key, what is live and what to paste.

    ``new_key`` is the text of a key that was just made.
    """
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    base_url = f"http://{host}:{listen.port}/v1"
    out.print("\n[bold]Daobo 导播[/bold] is on air\n")
    out.print(f"  base URL  [bold]{base_url}[/bold]")
    out.print(f"  API key   {_key_line(gateway, new_key)}", soft_wrap=True)
    out.print(f"  metrics   http://{listen.admin_host}:{listen.admin_port}/metrics\n")
    out.print(live_table(gateway))
    if gateway.rooms.loaded.dormant:
        waits = {dormant.waits_for for dormant in gateway.rooms.loaded.dormant.values()}
        out.print(f"[dim]More comes alive with {', '.join(sorted(waits))}.[/dim]")
    in_environment = bool(gateway.options.environ.get("DAOBO_KEY"))
    shell_key = new_key or ("$DAOBO_KEY" if in_environment else "YOUR-KEY")
    python_key = 'os.environ["DAOBO_KEY"]' if in_environment else f'"{shell_key}"'
    example = _example(base_url, shell_key, python_key, _example_model(gateway))
    out.print(example, soft_wrap=True)


def live_table(gateway: Gateway) -> Table:
    """Each task with the target that it resolves to, then the models by who serves them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    models: dict[str, list[str]] = {}
    for name, details in _routes(gateway):
        target = details["resolves_to"]
        if target is None:
            continue
        if details["kind"] == "task":
            table.add_row(f"task [bold]{name}[/bold]", target)
        else:
            models.setdefault(target.partition("/")[0], []).append(name)
    for provider, names in models.items():
        table.add_row(f"models at {provider}", ", ".join(names))
    return table


def route_table(gateway: Gateway) -> Table:
    """Every name that can be asked for, with its whole ladder; what is not live is in brackets."""
    table = Table("name", "ladder", box=None, pad_edge=False, padding=(0, 2))
    table.columns[1].overflow = "fold"
    for name, details in _routes(gateway):
        steps = [
            step["target"] if step["live"] else f"[dim]({step['target']})[/dim]"
            for step in details["ladder"]
        ]
        table.add_row(name, ", ".join(steps))
    return table


def cutting_tasks(gateway: Gateway) -> list[str]:
    """What becomes of scripts that are longer than a model, by task."""
    tasks = gateway.rooms.loaded.config.tasks.items()
    return [f"{name} ({task.chunking.mode})" for name, task in tasks if task.chunking.mode != "off"]


def without_effect(gateway: Gateway) -> list[str]:
    """Settings that are read and checked, and that nothing in this version acts on."""
    return [
        f"tasks.{name}.degrade"
        for name, task in gateway.rooms.loaded.config.tasks.items()
        if task.degrade
    ]


def _routes(gateway: Gateway) -> list[tuple[str, dict[str, Any]]]:
    listing = gateway.rooms.serving.listing
    return [(n, e["daobo"]) for n, e in listing.items() if e["daobo"]["kind"] != "auto"]


def _key_line(gateway: Gateway, new_key: str | None) -> str:
    if new_key:
        path = escape(str(gateway.key_file.path))
        return f"[bold]{new_key}[/bold]  (shown once; its hash is in {path})"
    if gateway.options.environ.get("DAOBO_KEY"):
        return "the one in DAOBO_KEY"
    return "as made before; 'daobo keys create NAME' makes another"


def _example_model(gateway: Gateway) -> str:
    listing = gateway.rooms.serving.listing
    return MODEL_IN_EXAMPLE if MODEL_IN_EXAMPLE in listing else next(iter(listing))


def _example(base_url: str, shell_key: str, python_key: str, model: str) -> str:
    imports = "import os\n" if "os." in python_key else ""
    return f"""
[dim]# try it[/dim]
curl {base_url}/chat/completions -H "Authorization: Bearer {shell_key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "写一个短剧开场"}}]}}'

[dim]# or from Python[/dim]
{imports}from openai import OpenAI
client = OpenAI(base_url="{base_url}", api_key={python_key})
for chunk in client.chat.completions.create(
    model="{model}", stream=True,
    messages=\\[{{"role": "user", "content": "写一个短剧开场"}}],
):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
"""
