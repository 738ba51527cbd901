"""What `import paysim_gym` loads."""

import subprocess
import sys

HEAVY = {
    *("torch", "pettingzoo", "fastapi", "matplotlib", "stable_baselines3", "scipy", "ray", "tensorboard"),
    *("sb3_contrib", "pygame", "PIL", "moviepy", "duckdb", "typer", "rich"),
}


def test_import_is_light() -> None:
    code = "import sys, paysim_gym; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(loaded.stdout.split())
