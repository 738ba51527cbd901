"""Scenarios of the service: named ones, and those in requests."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from paysim_gym._engine import ScenarioError, busiest_rates, event_occurrences
from paysim_gym.scenario import Scenario, load_scenario
from paysim_gym.scenario.loader import bundled_scenarios, file_keys, parse_scenario
from paysim_gym.scenario.policies import SplitLargePolicy
from paysim_gym.scenario.scheduled_events import PaymentEvent
from paysim_gym.server.problem_details import ServiceError, invalid_scenario
from paysim_gym.server.schemas import NamedScenario, ScenarioSummary
from paysim_gym.server.settings import Settings
from paysim_gym.validation_errors import format_value

JSON = "application/json"
YAML = "application/yaml"

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NO_FILE = "must be absent or null: the service reads no files for clients"


class ScenarioLibrary:
    """Named scenarios: the bundled ones and those of one folder."""

    def __init__(self, folder: Path | None) -> None:
        """Offer the bundled scenarios and a folder's `*.yaml` files; ValueError without the folder."""
        if folder is not None and not folder.is_dir():
            raise ValueError(f"scenarios = {str(folder)!r}: must be a folder")
        self._folder = folder

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted({*bundled_scenarios(), *self._folder_scenarios()})

    def load(self, name: str) -> Scenario:
        """Return a scenario by name, never used as a path, or raise a ScenarioError."""
        files = self._folder_scenarios()
        if name not in files and name not in bundled_scenarios():
            raise ScenarioError(
                f"scenario = {format_value(name)}: must be a name that GET /api/scenarios lists"
            )
        if name not in files:
            return _bundled(name)
        try:
            return load_scenario(files[name])
        except ScenarioError as error:
            _log.warning("a scenario cannot be read: %s", error, extra={"scenario": name})
            # The error may contain paths of the service.
            raise ScenarioError(f"scenario = {name!r}: cannot be read; see the service log") from None

    def public_scenario(self, name: str) -> Scenario:
        """Return a scenario without its folders; raises ServiceError 404 if unreadable."""
        try:
            data = self.load(name).model_dump(mode="json")
        except ScenarioError as error:
            raise ServiceError(404, str(error)) from None
        for owner, key, _ in file_keys(data):
            owner[key] = Path(owner[key]).name if owner[key] else None
        return Scenario.model_validate(data)

    def summaries(self, names: Iterable[str]) -> list[ScenarioSummary]:
        """Return summaries; the description of an unreadable scenario is the error."""
        return [self._summary(name) for name in names]

    def _summary(self, name: str) -> ScenarioSummary:
        try:
            scenario = self.load(name)
        except ScenarioError as error:
            return ScenarioSummary(name=name, description=str(error))
        return ScenarioSummary(
            name=name,
            description=scenario.description,
            agents=[agent.id for agent in scenario.agents],
            ticks_per_day=scenario.ticks_per_day,
            num_days=scenario.num_days,
        )

    def _folder_scenarios(self) -> dict[str, Path]:
        """Return name to file, without links that lead out of the folder."""
        if self._folder is None:
            return {}
        root = self._folder.resolve()
        files = (file for file in root.glob("*.yaml") if _NAME.fullmatch(file.stem))
        return {file.stem: file for file in files if file.is_file() and file.resolve().parent == root}


@cache
def _bundled(name: str) -> Scenario:
    """Load a bundled scenario once; one takes a second for its payments."""
    return load_scenario(name)


def parse(body: bytes, content_type: str) -> Any:
    """Parse a body to plain data, without validation.

    Raises:
        ServiceError: 415 if the content type is neither JSON nor YAML; 400 if the body is malformed.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in (JSON, YAML):
        raise ServiceError(415, f"content-type = {format_value(content_type)}: must be {JSON} or {YAML}")
    try:
        text = body.decode("utf-8")
        if media_type == JSON:
            return json.loads(text, object_pairs_hook=_mapping, parse_constant=refuse_constant)
        return parse_scenario(text, allow_aliases=False)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise ServiceError(400, f"the body is not {media_type}: {reason}") from None


def requested_scenario(
    body: bytes, content_type: str, library: ScenarioLibrary, settings: Settings
) -> tuple[Scenario, str | None]:
    """Return the validated scenario of a body, and its name if it has one.

    Raises:
        ServiceError: 400 or 415 if the body cannot be read; 422 with the path of every invalid field.
    """
    data = parse(body, content_type)
    try:
        scenario, name = _resolve(data, library)
        _check_size(scenario, settings)
    except ScenarioError as error:
        raise invalid_scenario(error) from None
    except RuntimeError as error:
        raise ServiceError(422, f"the engine failed on this scenario: {error}") from None
    return scenario, name


def expected_payments_per_tick(scenario: Scenario) -> float:
    """Return an upper bound of the expected payments per tick, including parts."""
    scheduled = sum(isinstance(event, PaymentEvent) for event in scenario.events)
    policies = [agent.policy for agent in scenario.agents]
    parts = [policy.parts if isinstance(policy, SplitLargePolicy) else 1 for policy in policies]
    rates = busiest_rates(scenario.model_dump_json())
    return scheduled + sum(rate * count for rate, count in zip(rates, parts, strict=True))


def _resolve(data: Any, library: ScenarioLibrary) -> tuple[Scenario, str | None]:
    if not isinstance(data, Mapping) or "scenario" not in data:
        return _validate(data), None
    if unknown := [key for key in data if key not in NamedScenario.model_fields]:
        allowed = ", ".join(NamedScenario.model_fields)
        raise ScenarioError(f"{unknown[0]}: unknown key; allowed beside `scenario`: {allowed}")
    source, seed = data["scenario"], data.get("seed")
    overrides = {} if seed is None else {"seed": seed}
    if not isinstance(source, str):
        return _validate({**source, **overrides} if isinstance(source, Mapping) else source), None
    scenario = library.load(source)
    return (load_scenario({**scenario.model_dump(), **overrides}) if overrides else scenario), source


def _validate(data: Any) -> Scenario:
    """Validate a scenario of a request, which must not name files."""
    if not isinstance(data, Mapping):
        raise ScenarioError(f"scenario = {format_value(data)}: must be a mapping, or the name of a scenario")
    named = [
        f"{path} = {format_value(owner[key])}: {_NO_FILE}"
        for owner, key, path in file_keys(data)
        if owner.get(key) is not None
    ]
    if named:
        raise ScenarioError("\n".join(named))
    return load_scenario(data)


def _check_size(scenario: Scenario, settings: Settings) -> None:
    """Raise a ScenarioError if the scenario exceeds a limit of the service."""
    ticks = scenario.ticks_per_day * scenario.num_days
    payments = expected_payments_per_tick(scenario)
    events = sum(event_occurrences(scenario.model_dump_json()))
    checks = [
        ("agents", len(scenario.agents), settings.max_banks, "banks"),
        ("num_days", ticks, settings.max_ticks, "ticks, all days together"),
        ("events", events, settings.max_events, "occurrences of events"),
        ("agents", payments, settings.max_payments_per_tick, "expected payments a tick"),
    ]
    problems = [
        f"{path}: this service allows at most {limit} {unit}, the scenario has {count:g}"
        for path, count, limit, unit in checks
        if count > limit
    ]
    if problems:
        raise ScenarioError("\n".join(problems))


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a mapping and refuse duplicate keys, of which JSON keeps only the last."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"duplicate key {format_value(counts.most_common(1)[0][0])}")
    return mapping


def refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python's parser accepts."""
    raise ValueError(f"{name} is not JSON")
