"""Validation of environment arguments; NumPy values are accepted."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from paysim_gym import PaymentEnv, PaymentVectorEnv
from paysim_gym.envs.env_arguments import EnvSettings, validate_env_arguments

WRONG = [
    ("slots", -1, "slots = -1: must be an integer between 1 and 64"),
    ("slots", 65, "slots = 65: must be an integer between 1 and 64"),
    ("slots", True, "slots = True: must be an integer between 1 and 64"),
    ("slots", np.float64(2.0), "slots = 2.0: must be an integer between 1 and 64"),
    ("slots", None, "slots = None: must be an integer between 1 and 64"),
    ("split_parts", [1], "split_parts[0] = 1: must be an integer between 2 and 100"),
    ("split_parts", [2, 101], "split_parts[1] = 101: must be an integer between 2 and 100"),
    ("split_parts", [4, 2], "split_parts = [4, 2]: must be in ascending order"),
    ("split_parts", [2, 2], "split_parts = [2, 2]: must be in ascending order"),
    ("split_parts", np.array([[2]]), "split_parts[0] = [2]: must be an integer between 2 and 100"),
    ("split_parts", "24", "split_parts = '24': must be a list"),
    ("split_parts", 2, "split_parts = 2: must be a list"),
    ("reward", "theirs", "reward = 'theirs': must be 'own', 'system' or 'blend'"),
    ("reward", ["own"], "reward = ['own']: must be 'own', 'system' or 'blend'"),
    ("reward_blend", np.nan, "reward_blend = nan: must be a number between 0 and 1"),
    ("reward_blend", 1.5, "reward_blend = 1.5: must be a number between 0 and 1"),
    ("reward_scale", np.inf, "reward_scale = inf: must be a number between 1e-06 and 1e+15"),
    ("reward_scale", 0.0, "reward_scale = 0.0: must be a number between 1e-06 and 1e+15"),
    ("strict", 1, "strict = 1: must be a valid boolean"),
    ("max_episode_steps", 0, "max_episode_steps = 0: must be an integer between 1 and 4294967295"),
    (
        "max_episode_steps",
        2**32,
        "max_episode_steps = 4294967296: must be an integer between 1 and 4294967295",
    ),
    ("num_envs", 0, "num_envs = 0: must be an integer between 1 and 16777216"),
    ("num_envs", 2.0, "num_envs = 2.0: must be an integer between 1 and 16777216"),
    ("num_envs", 2**24 + 1, "num_envs = 16777217: must be an integer between 1 and 16777216"),
    ("num_threads", 1025, "num_threads = 1025: must be an integer between 1 and 1024"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        PaymentVectorEnv(**{name: value})
    assert str(caught.value) == message


def test_a_huge_setting_is_named_by_type() -> None:
    with pytest.raises(ValueError, match=r"^slots = \(int too large to show\): must be an integer"):
        PaymentEnv(slots=10**5000)


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"slots = 0: .*\nreward_blend = -1: "):
        PaymentEnv(slots=0, reward_blend=-1)


def test_numpy_values_are_taken() -> None:
    arguments: dict[str, Any] = {
        "slots": np.int32(3),
        "split_parts": np.array([2, 5]),
        "reward": np.str_("blend"),
        "reward_blend": np.float32(0.25),
        "reward_scale": np.int64(100),
        "strict": np.bool_(True),
        "max_episode_steps": np.array(7),
        "num_envs": np.uint8(2),
        "num_threads": np.int64(1),
    }
    assert validate_env_arguments(**arguments) == EnvSettings(
        slots=3,
        split_parts=(2, 5),
        reward="blend",
        reward_blend=0.25,
        reward_scale=100.0,
        strict=True,
        max_episode_steps=7,
        num_envs=2,
        num_threads=1,
    )
    given: dict[str, Any] = {
        "num_envs": np.int64(2),
        "slots": np.int32(3),
        "split_parts": [np.int64(2), np.int64(5)],
    }
    env: Any = PaymentVectorEnv(**given)
    assert (env.num_envs, env.action_space.shape) == (2, (2, 3))
    assert type(env.num_envs) is type(env.settings.slots) is int
    assert env.single_action_space.nvec.tolist() == [4, 4, 4]


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        EnvSettings().slots = 3  # type: ignore[misc]


LARGE = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
from paysim_gym import PaymentVectorEnv
try:
    PaymentVectorEnv(2**24, "large_network")
except MemoryError as error:
    print(error)
"""


def test_a_fleet_beyond_the_memory_is_refused_before_it_is_built() -> None:
    run = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, timeout=60)
    message = (
        r"num_envs = 16777216 systems of (\d+) KiB need about (\d+) GiB of memory, "
        r"(\d+) GiB are available: use fewer systems\n"
    )
    found = re.fullmatch(message, run.stdout)
    assert found, run.stderr
    system, needed, available = map(int, found.groups())
    assert system - 1 <= needed << 20 >> 24 <= system
    assert available < needed


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the process from /proc")
def test_the_estimate_of_the_memory_is_of_the_right_size() -> None:
    script = """
from pathlib import Path
from paysim_gym import PaymentVectorEnv

def resident():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmRSS"))

first = PaymentVectorEnv(1, "large_network")
first.reset(seed=0)
before = resident()
fleet = PaymentVectorEnv(2_000, "large_network", num_threads=1)
fleet.reset(seed=0)
for _ in range(20):
    fleet.step(fleet.scripted_actions({"type": "release_all"}))
print((resident() - before) / 2_000)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    large = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, timeout=60)
    estimate = int(re.findall(r"\d+ KiB", large.stdout)[0].split()[0])
    assert 0.4 < estimate / float(run.stdout) < 2.5, (estimate, run.stdout, run.stderr)
