"""Loads scenario files with a strict YAML loader."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from paysim_gym._engine import ScenarioError


class ScenarioNotFound(ScenarioError, FileNotFoundError):  # noqa: N818
    """No scenario file has this path, and no bundled scenario this name."""


def bundled_scenarios() -> list[str]:
    """Return the names of the bundled scenarios."""
    folder = resources.files("paysim_gym") / "scenarios"
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def read_scenario(source: str | os.PathLike[str]) -> Any:
    """Read a bundled scenario or YAML file without validation; paths in it become absolute."""
    text, path = _read_text(source)
    try:
        data = parse_scenario(text)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None
    for owner, key, _ in file_keys(data):
        if isinstance(file := owner.get(key), str) and file:
            owner[key] = str(path.parent.absolute() / file)
    return data


def parse_scenario(text: str, *, allow_aliases: bool = True) -> Any:
    """Parse the text of a scenario file without validation.

    Args:
        text: YAML.
        allow_aliases: Whether `*name` may refer to an anchor `&name`. Nested aliases can expand to more
            data than fits into memory, so do not allow them in untrusted text.

    Raises:
        ScenarioError: If it is not YAML.
    """
    try:
        return yaml.load(text, Loader=_ScenarioLoader if allow_aliases else _NoAliasLoader)
    # PyYAML's constructors raise errors of any type: 2024-13-45, `!!bool x`, `!!seq x: 1`.
    except Exception as error:
        raise ScenarioError(f"not a valid YAML file: {error}") from None


def file_keys(data: Any) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield the mappings that may name a file, with the key and its path."""
    if not isinstance(data, dict):
        return
    yield data, "payments_file", "payments_file"
    agents = data.get("agents")
    for index, agent in enumerate(agents if isinstance(agents, list) else []):
        policy = agent.get("policy") if isinstance(agent, dict) else None
        if isinstance(policy, dict) and policy.get("type") == "network":
            yield policy, "weights", f"agents[{index}].policy.weights"


def scenario_text(source: str | os.PathLike[str]) -> str:
    """Return the text of a scenario file, with comments; raises ScenarioError without a file."""
    return _read_text(source)[0]


def _read_text(source: str | os.PathLike[str]) -> tuple[str, Path]:
    """Return the text of a scenario and its path."""
    if isinstance(source, str) and source in bundled_scenarios():
        source = str(resources.files("paysim_gym") / "scenarios" / f"{source}.yaml")
    try:
        return Path(source).read_text("utf-8"), Path(source)
    except (OSError, ValueError, TypeError) as error:
        names = ", ".join(bundled_scenarios())
        is_missing = isinstance(error, FileNotFoundError)
        raise (ScenarioNotFound if is_missing else ScenarioError)(
            f"scenario = {source!r}: must be a bundled scenario ({names}), a readable YAML file, "
            f"a mapping or a Scenario ({error})"
        ) from None


class _ScenarioLoader(yaml.SafeLoader):
    """A YAML loader that refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node)
            if key in seen:
                message = f"duplicate key {key!r}"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_integer(self, node: yaml.ScalarNode) -> int | str:
        """Return text for 18:00, as YAML 1.2 does; in YAML 1.1 it is 1080."""
        text = str(self.construct_scalar(node))
        return text if ":" in text else self.construct_yaml_int(node)


class _NoAliasLoader(_ScenarioLoader):
    """A YAML loader that also refuses aliases."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed here")
        return super().compose_node(parent, index)


_ScenarioLoader.add_constructor("tag:yaml.org,2002:int", _ScenarioLoader.construct_integer)

# In YAML 1.1, which PyYAML implements, 1e-5 is text; this is the float of YAML 1.2 (10.3.2, core schema).
_ScenarioLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)
