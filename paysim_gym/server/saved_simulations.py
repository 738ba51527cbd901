"""Simulations on disk: a folder with two files for each, written whole or not at all."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from paysim_gym.files import write_atomically
from paysim_gym.server.simulation import Origin, Progress, Simulation

_log = logging.getLogger(__name__)
_ORIGIN = re.compile(r"[0-9a-f]{32}\.origin\.json")
_PROGRESS = re.compile(r"[0-9a-f]{32}\.progress\.json")
_PART = re.compile(r"\.[0-9a-f]{32}\.(origin|progress)\.json\.[0-9]+\.tmp")


class FolderStore:
    """Keeps simulations in a folder: what each is made from, and how far it has come."""

    def __init__(self, folder: Path) -> None:
        """Use a folder; it is made if it is not there.

        Raises:
            OSError: If it cannot be.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def add(self, simulation: Simulation) -> None:
        """Write a new simulation; it is there once its origin is, which is written last.

        Raises:
            OSError: If it cannot be written.
        """
        self.save(simulation)
        origin = simulation.origin
        write_atomically(self._origin(origin.simulation_id), origin.model_dump_json().encode())

    def save(self, simulation: Simulation) -> None:
        """Write how far a simulation has come.

        Raises:
            OSError: If it cannot be written.
        """
        path = self._progress(simulation.origin.simulation_id)
        write_atomically(path, simulation.progress().model_dump_json().encode())

    def remove(self, simulation_id: str) -> None:
        """Forget a simulation; its origin goes first, so that no half of it comes back.

        Raises:
            OSError: If its files cannot be removed.
        """
        self._origin(simulation_id).unlink(missing_ok=True)
        self._progress(simulation_id).unlink(missing_ok=True)

    def load(self, max_queue_depth: int) -> list[Simulation]:
        """Every simulation of the folder, the oldest first.

        One whose files cannot be read is logged and left where it is.
        """
        self._clear()
        simulations = []
        for path in self._folder.iterdir():
            if not _ORIGIN.fullmatch(path.name):
                continue
            try:
                origin = Origin.model_validate_json(path.read_bytes())
                progress = Progress.model_validate_json(self._progress(origin.simulation_id).read_bytes())
                simulation = Simulation(origin, max_queue_depth)
            except (OSError, ValueError, RuntimeError) as error:
                _log.error("a stored simulation cannot be read: %s: %s", path.name, error)
                continue
            simulation.restore(progress)
            simulations.append(simulation)
        return sorted(simulations, key=lambda simulation: simulation.origin.created_at)

    def _clear(self) -> None:
        """Remove what a process that was killed had begun to write, and no client has heard of."""
        for path in self._folder.iterdir():
            if _PART.fullmatch(path.name) or (
                _PROGRESS.fullmatch(path.name) and not self._origin(path.name[:32]).exists()
            ):
                path.unlink()

    def _origin(self, simulation_id: str) -> Path:
        return self._folder / f"{simulation_id}.origin.json"

    def _progress(self, simulation_id: str) -> Path:
        return self._folder / f"{simulation_id}.progress.json"
