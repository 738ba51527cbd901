"""Simulations on disk: one folder with two files per simulation, written atomically."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from paysim_gym.files import write_atomically
from paysim_gym.server.simulation import Checkpoint, Simulation, SimulationSpec

_log = logging.getLogger(__name__)
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SPEC = re.compile(rf"{_ID}\.spec\.json")
_CHECKPOINT = re.compile(rf"({_ID})\.checkpoint\.json")
_TEMPORARY = re.compile(rf"\.{_ID}\.(spec|checkpoint)\.json\.[0-9]+\.tmp")
_EARLIER = re.compile(r"[0-9a-f]{32}\.(origin|spec)\.json")
"""Files of versions whose ids had no dashes."""


class FolderStore:
    """Stores the spec and the latest checkpoint of each simulation in a folder."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is created if it does not exist."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def add(self, simulation: Simulation) -> None:
        """Write a new simulation; the spec is written last and makes it exist."""
        self.save(simulation)
        spec = simulation.spec
        write_atomically(self._spec_path(spec.simulation_id), spec.model_dump_json().encode())

    def save(self, simulation: Simulation) -> None:
        """Write a checkpoint of a simulation."""
        path = self._checkpoint_path(simulation.spec.simulation_id)
        write_atomically(path, simulation.checkpoint().model_dump_json().encode())

    def remove(self, simulation_id: str) -> None:
        """Remove a simulation, spec first, so that no partial one is loaded."""
        self._spec_path(simulation_id).unlink(missing_ok=True)
        self._checkpoint_path(simulation_id).unlink(missing_ok=True)

    def load(self, max_queue_depth: int) -> list[Simulation]:
        """Load all simulations of the folder, oldest first.

        A simulation whose files cannot be read is logged and left unchanged.
        """
        self._remove_incomplete()
        if ignored := sum(bool(_EARLIER.fullmatch(path.name)) for path in self._folder.iterdir()):
            _log.warning("%d simulations saved by earlier versions are ignored: unsupported", ignored)
        simulations = []
        for path in self._folder.iterdir():
            if not _SPEC.fullmatch(path.name):
                continue
            try:
                spec = SimulationSpec.model_validate_json(path.read_bytes())
                checkpoint = Checkpoint.model_validate_json(
                    self._checkpoint_path(spec.simulation_id).read_bytes()
                )
                simulation = Simulation(spec, max_queue_depth)
            except (OSError, ValueError, RuntimeError) as error:
                _log.error("a saved simulation cannot be read: %s: %s", path.name, error)
                continue
            simulation.restore(checkpoint)
            simulations.append(simulation)
        return sorted(simulations, key=lambda simulation: simulation.spec.created_at)

    def _remove_incomplete(self) -> None:
        """Remove unfinished writes of a killed process; no client knows them."""
        for path in self._folder.iterdir():
            checkpoint = _CHECKPOINT.fullmatch(path.name)
            if _TEMPORARY.fullmatch(path.name) or (
                checkpoint and not self._spec_path(checkpoint[1]).exists()
            ):
                path.unlink()

    def _spec_path(self, simulation_id: str) -> Path:
        return self._folder / f"{simulation_id}.spec.json"

    def _checkpoint_path(self, simulation_id: str) -> Path:
        return self._folder / f"{simulation_id}.checkpoint.json"
