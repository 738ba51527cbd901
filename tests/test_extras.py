"""A missing extra names its pip line wherever it is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from gymnasium.error import DependencyNotInstalled

import paysim_gym
from paysim_gym.extras import MissingExtraError, requires_extra

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

RENDER = "import paysim_gym; env = paysim_gym.PaymentEnv(render_mode={!r}); env.reset(seed=0); env.render()"
SERVE = "from paysim_gym.server.serve import serve; serve(port=0)"
CLUSTER = "from paysim_training.core.ray_tasks import cluster; cluster().__enter__()"

# Parts of the service, which `server/application.py` imports within its block.
WITHIN_THE_APPLICATION = {
    f"server/{name}.py" for name in ("error_handlers", "middleware", "openapi", "routes", "websocket")
}

MISSING = [
    ("stable_baselines3", "import paysim_gym.envs.sb3", "stable-baselines3", "train"),
    ("stable_baselines3", "import paysim_gym.envs.export", "stable-baselines3", "train"),
    ("sb3_contrib", "import paysim_gym.envs.export", "sb3-contrib", "train"),
    ("safetensors", "import paysim_gym.envs.export", "safetensors", "train"),
    ("torch", "import paysim_gym.envs.export", "torch", "train"),
    ("pettingzoo", "import paysim_gym.envs.parallel", "pettingzoo", "multiagent"),
    ("pettingzoo", "import paysim_gym.envs.rllib", "pettingzoo", "multiagent"),
    ("ray", "import paysim_gym.envs.rllib", "ray", "distributed,multiagent"),
    ("ray", "import paysim_training.rllib.algorithm", "ray", "distributed"),
    ("ray", "import paysim_training.rllib.module", "ray", "distributed"),
    ("ray", CLUSTER, "ray", "distributed"),
    ("pygame", RENDER.format("human"), "pygame", "render"),
    ("PIL", RENDER.format("rgb_array"), "Pillow", "render"),
    ("PIL", RENDER.format("human"), "Pillow", "render"),
    ("fastapi", "import paysim_gym.server.app", "fastapi", "server"),
    ("starlette", "import paysim_gym.server.application", "starlette", "server"),
    ("fastapi", SERVE, "fastapi", "server"),
    ("uvicorn", SERVE, "uvicorn", "server"),
    ("minari", "import paysim_gym.envs.minari", "minari", "minari"),
    ("jax", "import paysim_gym.envs.minari", "jax", "minari"),
    ("h5py", "import paysim_gym.envs.minari", "h5py", "minari"),
]


@pytest.mark.parametrize(("module", "code", "distribution", "extra"), MISSING)
def test_the_pip_line_is_named(module: str, code: str, distribution: str, extra: str) -> None:
    hidden = f"import sys; sys.modules[{module!r}] = None; {code}"
    run = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True)
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    message = f'{distribution} is not installed; run: pip install "paysim-gym[{extra}]"'
    assert last == f"paysim_gym.extras.MissingExtraError: {message}"


def test_every_named_extra_exists() -> None:
    extras = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    assert {extra for *_, names in MISSING for extra in names.split(",")} <= extras.keys()


def test_every_optional_import_is_guarded() -> None:
    """The package imports only its dependencies, unless within a block that names the extra."""
    named = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["dependencies"]
    modules = {re.split(r"[>=<\[]", line)[0].replace("-", "_") for line in named}
    allowed = {*sys.stdlib_module_names, *modules, "yaml", "pydantic_core", "paysim_gym"}
    package = Path(paysim_gym.__file__).parent
    unguarded = {
        str(path.relative_to(package)): found
        for path in package.rglob("*.py")
        if (found := {*_unguarded(ast.parse(path.read_text("utf-8")))} - allowed)
    }
    assert {path: names for path, names in unguarded.items() if path not in WITHIN_THE_APPLICATION} == {}
    assert unguarded.keys() == WITHIN_THE_APPLICATION


def _unguarded(node: ast.AST) -> Iterator[str]:
    """Top-level names of modules that are imported outside of guarding blocks."""
    if isinstance(node, ast.With) and "requires_extra" in ast.unparse(node.items[0]):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield (node.module or "").partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from _unguarded(child)


def test_the_error_is_of_both_kinds() -> None:
    """As `gymnasium` raises it, and as `pytest.importorskip` and `try` blocks expect it."""
    with pytest.raises(DependencyNotInstalled) as caught, requires_extra("render"):
        import no_such_module_anywhere  # type: ignore[import-not-found]  # noqa: F401
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == "no_such_module_anywhere"


def test_other_errors_pass() -> None:
    with pytest.raises(ImportError, match="cannot import name") as caught, requires_extra("render"):
        from json import no_such_name  # type: ignore[attr-defined]  # noqa: F401
    assert not isinstance(caught.value, MissingExtraError)
