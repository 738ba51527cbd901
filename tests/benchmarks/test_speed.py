"""Speed measurements of docs/performance.md made from Python.

Slow results do not fail: the table shows whether a target is met.
"""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter

import gymnasium as gym
import numpy as np
import pytest
from benchmarks.measuring import Table, engine_speed
from benchmarks.workloads import NUM_ENVS, CartPoles, Fleet, Idle, Single
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from paysim_gym import PaymentVectorEnv
from paysim_gym.envs.sb3 import PaymentVecEnv

pytestmark = [pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore:.*precision lowered")]

MEMORY = """
import os, sys
import numpy as np
from paysim_gym import PaymentVectorEnv

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

num_envs = int(sys.argv[1])
PaymentVectorEnv(64, "five_bank").reset(seed=0)
before = resident()
env = PaymentVectorEnv(num_envs, "five_bank")
generator = np.random.default_rng(0)
_, infos = env.reset(seed=0)
for _ in range(40):
    flags = infos["action_mask"].reshape(num_envs, 8, -1)
    infos = env.step((generator.random(flags.shape, np.float32) * flags).argmax(-1))[-1]
del infos, flags
print((resident() - before) / num_envs)
"""


def test_fleet_against_envpool(table: Table) -> None:
    what = "make_vec TwoBank against EnvPool CartPole-v1, 1,024 envs, 2 threads"
    try:
        import envpool
    except ImportError:
        table.add(what, "not measured: EnvPool is missing, add `--extra bench`", "4")
        pytest.skip("EnvPool is missing: add `--extra bench`")
    fleet, others = Fleet(2), CartPoles(envpool)
    days, steps = table.amount(30, 1), table.amount(400, 1)
    table.compare(what, lambda: fleet.speed(days), lambda: others.speed(steps), 4)


def test_fleet_against_the_engine(table: Table) -> None:
    what = "make_vec TwoBank against the engine alone, 1,024 envs, 2 threads"
    fleet, days = Fleet(2), table.amount(100, 1)
    try:
        table.compare(
            what, lambda: fleet.speed(days), lambda: engine_speed("tick", "step/two_bank, 2 threads"), 0.75
        )
    except LookupError as error:
        table.add(what, f"not measured: {error}", "0.75")
        pytest.skip(str(error))


def test_two_threads_against_one(table: Table) -> None:
    one, two, days = Fleet(1), Fleet(2), table.amount(30, 1)
    what = "make_vec TwoBank, 1,024 envs, 2 threads against 1"
    table.compare(what, lambda: two.speed(days), lambda: one.speed(days), 1.7)


def test_single_environment_against_cartpole(table: Table) -> None:
    ours, theirs, steps = Single("PaySim/TwoBank-v1"), Single("CartPole-v1"), table.amount(5_000, 50)
    what = "gym.make TwoBank.step against CartPole-v1.step"
    table.compare(what, lambda: ours.speed(steps), lambda: theirs.speed(steps), 1)


def test_ppo_against_an_environment_that_does_nothing(table: Table) -> None:
    num_envs, num_steps = table.amount(NUM_ENVS, 8), table.amount(64, 8)
    batch = num_envs * num_steps // 8
    fleet = gym.make_vec("PaySim/TwoBank-v1", num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP.value)
    assert isinstance(fleet, PaymentVectorEnv)
    ours = PaymentVecEnv(fleet)

    def ppo(env: VecEnv) -> PPO:
        return PPO("MlpPolicy", env, n_steps=num_steps, batch_size=batch, n_epochs=4, seed=0, device="cpu")

    def speed(model: PPO) -> float:
        start = perf_counter()
        model.learn(num_envs * num_steps, reset_num_timesteps=False)
        return num_envs * num_steps / (perf_counter() - start)

    one, other = ppo(ours), ppo(Idle(ours))
    what = "SB3 PPO, 1,024 envs, against an environment that does nothing"
    table.compare(what, lambda: speed(one), lambda: speed(other), 0.95)


def test_render(table: Table) -> None:
    env = gym.make("PaySim/TwoBank-v1", render_mode="rgb_array")
    env.reset(seed=0)
    times = []
    for _ in range(table.amount(45, 2)):
        env.step(np.ones(8, np.int64))
        start = perf_counter()
        env.render()
        times.append(perf_counter() - start)
    table.add("rendering of TwoBank", f"{np.median(times) * 1e3:.1f} ms")


def test_memory(table: Table) -> None:
    what = f"five_bank, memory of one system of {table.amount(65_536, 1_024):,}"
    if not sys.platform.startswith("linux"):
        table.add(what, "not measured: needs /proc/self/statm", "16 KiB")
        pytest.skip("needs /proc/self/statm")
    command = [sys.executable, "-c", MEMORY, str(table.amount(65_536, 1_024))]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    kibibytes = float(run.stdout) / 1024
    table.add(what, f"{kibibytes:.1f} KiB", "16 KiB", kibibytes <= 16)
