"""Reads YAML into plain values together with the line that each of them stands on."""

from __future__ import annotations

from typing import Any

import yaml

from .errors import ConfigError

Where = tuple[str | int, ...]
"""Where a value stands: keys and list indices from the top."""

MERGE_TAG = "tag:yaml.org,2002:merge"
MAX_DEPTH = 50
MAX_VALUES = 100_000


def parse_yaml(text: str, source: str) -> tuple[Any, dict[Where, int]]:
    """The document and the line (from 1) of every key and item. Raises ConfigError."""
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"{where}: not valid YAML: {problem}{_hint(error)}") from None
    except RecursionError:
        raise ConfigError(f"{source}: not valid YAML: nested too deeply") from None
    reader = _Reader(source)
    tree = {} if node is None else reader.value(node, ())
    if reader.problems:
        raise ConfigError(*reader.problems)
    return tree, reader.lines


def _hint(error: yaml.YAMLError) -> str:
    """For the mistake that rules with ``*`` invite."""
    told = f"{getattr(error, 'context', '')} {getattr(error, 'problem', '')}"
    return "; a text that begins with * needs quotes" if "alias" in told else ""


class _Reader:
    """Builds plain values out of YAML nodes and notes the line of each."""

    def __init__(self, source: str) -> None:
        self.lines: dict[Where, int] = {}
        self.problems: list[str] = []
        self._source = source
        self._scalars = yaml.CSafeLoader("")
        self._values = 0

    def value(self, node: yaml.Node, path: Where) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._values += 1
        # An anchor may contain itself, and a few that contain each other may stand for gigabytes.
        if len(path) > MAX_DEPTH or self._values > MAX_VALUES:
            where = f"{self._source}:{node.start_mark.line + 1}"
            raise ConfigError(f"{where}: nested too deeply, or too many values for one file")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Where) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for key_node, value_node in node.value:
            if key_node.tag == MERGE_TAG:
                merged += self._merged(value_node, path)
            elif not isinstance(key_node, yaml.ScalarNode):
                self._add(key_node, path, "a key has to be a plain word")
            else:
                key = str(key_node.value)
                if key in own:
                    self._add(key_node, (*path, key), "stands here twice")
                self.lines[(*path, key)] = key_node.start_mark.line + 1
                own[key] = self.value(value_node, (*path, key))
        return {**{key: item for other in reversed(merged) for key, item in other.items()}, **own}

    def _merged(self, node: yaml.Node, path: Where) -> list[dict[str, Any]]:
        """What ``<<: *name`` or ``<<: [*a, *b]`` brings in; the first of several wins."""
        value = self.value(node, (*path, "<<"))
        found = value if isinstance(value, list) else [value]
        if all(isinstance(item, dict) for item in found):
            return found
        self._add(node, path, "'<<' merges mappings only")
        return []

    def _scalar(self, node: yaml.Node, path: Where) -> Any:
        try:
            return self._scalars.construct_object(node)
        except Exception:  # PyYAML raises whatever its conversions stumble over
            kind = str(node.tag).rpartition(":")[2]
            self._add(node, path, f"{str(node.value)[:60]!r} cannot be read as {kind!r}; quote it")
            return None

    def _add(self, node: yaml.Node, path: Where, message: str) -> None:
        line = node.start_mark.line + 1
        self.problems.append(f"{self._source}:{line}: {dotted(path) or 'the file'}: {message}")


def dotted(path: Where) -> str:
    """``models.draft.targets[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
