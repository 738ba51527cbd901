"""Distilled trees: recovery of a expected tree, text rules, playing and evaluation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command import Invocation, invoke
from numpy.typing import NDArray
from paysim_agents.scripted import scripted
from paysim_agents.tree import (
    Fork,
    Leaf,
    Tree,
    TreeAgent,
    TreeError,
    bank_columns,
    decide,
    dump_tree,
    load_tree,
    slot_columns,
    tree_policy,
    tree_rules,
)
from paysim_training.algorithms import ppo
from paysim_training.core.run_folder import RunFolder
from paysim_training.distil import distil_run

from paysim_gym import PaymentVectorEnv
from paysim_gym.envs.spaces import observation_names
from paysim_gym.evaluation import evaluate

TINY: dict[str, Any] = {
    "num_envs": 8,
    "torch_threads": 1,
    "timesteps": 8 * 48,
    "ppo": {"steps_per_rollout": 48, "batch_size": 96, "epochs": 1, "critic_layers": [16]},
    "evaluation": {"first_seed": 2**40, "episodes": 4},
    "tuning": {"first_seed": 2**41, "episodes": 4},
}
HOLD, RELEASE = (Leaf(action=action, decisions=10, agreement=0.9) for action in (0, 1))


def _tree(payments: Fork | Leaf, **changes: Any) -> Tree:
    env = PaymentVectorEnv(1, "two_bank")
    facts = {
        "split_parts": (2, 4),
        "amount_scale_cents": env.amount_scales_cents["BANK_A"],
        "ticks_per_day": env.scenario.ticks_per_day,
        "slots": 8,
    }
    return Tree(**{**facts, **changes}, payments=payments)


def _run(*arguments: object) -> Invocation:
    return invoke("distil", *arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distilled")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    arguments = ["--config", str(folder / "tiny.yaml"), "--out", str(folder / "run")]
    result = invoke("train", *arguments)
    assert result.exit_code == 0, result.output
    return folder / "run"


class KnownTree:
    """A stand-in for a network that follows a expected decision tree."""

    def __init__(self, run: RunFolder) -> None:
        names = list(observation_names(8))
        self._time = names.index("time_of_day")
        self._due = [names.index(f"slot_{slot}_ticks_to_deadline") for slot in range(8)]
        self._filled = [names.index(f"slot_{slot}_amount") for slot in range(8)]

    def predict(self, observation: NDArray[np.float32], *_: Any, **__: Any) -> tuple[NDArray[np.int64], Any]:
        ticks = PaymentVectorEnv(1, "two_bank").scenario.ticks_per_day
        is_near = observation[:, self._due] * ticks < 3.5
        is_early = (observation[:, self._time] < 0.5)[:, None]
        return np.where((observation[:, self._filled] > 0) & (is_near | is_early), 1, 0), None


def test_tree_recovers_a_policy_that_is_a_tree(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ppo, "LearnedPolicy", KnownTree)
    found = distil_run(RunFolder(trained), depth=3, days=20, rounds=2)
    assert found.agreement == 1.0
    assert found.cost_cents == found.network_cost_cents
    assert found.tree.leaves == 3
    unseen = range(2**40, 2**40 + 10)
    expected = evaluate(lambda env: KnownTree(RunFolder(trained)), "two_bank", unseen)
    played = evaluate(tree_policy(found.tree), "two_bank", unseen)
    np.testing.assert_array_equal(expected.cost, played.cost)
    text = tree_rules(found.tree)
    assert "the payment's ticks to deadline <= 3 ticks:" in text
    assert "time of day <= " in text
    stump = distil_run(RunFolder(trained), depth=1, days=20, rounds=2)
    assert stump.tree.leaves == 2
    assert stump.agreement < 1


def test_command_distils_and_evaluation_scores_the_tree(trained: Path, tmp_path: Path) -> None:
    result = _run(trained, "--depth", 3, "--days", 4, "--rounds", 2, "--out", tmp_path / "tree.json")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("For each payment in the queue:\n")
    assert f"paysim evaluate {trained}" in result.output
    first = (trained / "tree.json").read_bytes()
    assert (tmp_path / "tree.json").read_bytes() == first
    assert _run(trained, "--depth", 3, "--days", 4, "--rounds", 2).exit_code == 0
    assert (trained / "tree.json").read_bytes() == first
    tree = load_tree(trained / "tree.json")
    assert dump_tree(tree) == first
    scored = invoke("evaluate", trained)
    assert scored.exit_code == 0, scored.output
    row = json.loads((trained / "metrics.json").read_text())["policies"]["tree"]
    assert row["policy"] == {"type": "tree", "rules": tree.leaves}
    costs = evaluate(tree_policy(tree), "two_bank", range(2**40, 2**40 + 4)).cost
    assert row["cost_cents_mean"] == costs.mean()
    assert "minus_ppo_cents" in row
    (trained / "tree.json").unlink()


def test_trees_play_without_torch_or_scikit_learn(tmp_path: Path) -> None:
    path = tmp_path / "tree.json"
    path.write_bytes(dump_tree(_tree(RELEASE)))
    code = (
        "import sys; from pathlib import Path; from paysim_agents.tree import load_tree, tree_policy\n"
        "from paysim_gym.evaluation import evaluate\n"
        f"print(evaluate(tree_policy(load_tree(Path({str(path)!r}))), 'two_bank', [5]).cost[0])\n"
        "sys.exit(bool({'torch', 'sklearn', 'stable_baselines3'} & sys.modules.keys()))"
    )
    played = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert played.returncode == 0, played.stderr
    wanted = evaluate(scripted({"type": "release_all"}), "two_bank", [5]).cost[0]
    assert int(played.stdout) == wanted


def test_thresholds_are_not_rounded_to_the_precision_of_the_observation() -> None:
    tree = _tree(Fork(column="balance", at_most=0.1, yes=RELEASE, no=HOLD))
    observations = np.zeros((2, len(observation_names(8))), np.float32)
    observations[:, len(bank_columns())] = 1  # an amount in the first slot
    observations[:, bank_columns().index("balance")] = [0.1, np.nextafter(np.float32(0.1), np.float32(0))]
    assert float(np.float32(0.1)) > 0.1
    np.testing.assert_array_equal(decide(tree, observations)[:, 0], [0, 1])
    assert not decide(tree, observations)[:, 1:].any()


def test_opening_commits_a_share_of_the_pool_and_nothing_else() -> None:
    share = Leaf(action=2, decisions=5, agreement=1.0)
    scenario = "liquidity_pool"
    env = PaymentVectorEnv(2, scenario, autoreset_mode="Disabled")
    facts = {
        "amount_scale_cents": env.amount_scales_cents[env.learner],
        "ticks_per_day": env.scenario.ticks_per_day,
    }
    tree = _tree(RELEASE, opening=share, pool_shares=21, **facts)
    observations, _ = env.reset(seed=[1, 2])
    actions, _ = TreeAgent(env, tree).predict(observations)
    np.testing.assert_array_equal(actions, [[*[0] * 8, 2]] * 2)
    assert "commit 10% of the pool" in tree_rules(tree)
    few = PaymentVectorEnv(2, scenario, pool_shares=5)
    with pytest.raises(TreeError, match="pool_shares = 5: the tree requires 21"):
        TreeAgent(few, tree)
    with pytest.raises(TreeError, match="pool_shares = 21: the tree requires None"):
        TreeAgent(env, _tree(RELEASE, **facts))
    with pytest.raises(TreeError, match="decides = 'pool': must be 'slots'"):
        TreeAgent(PaymentVectorEnv(2, scenario, decides="pool"), tree)


def test_rules_are_in_display_units() -> None:
    tree = _tree(
        Fork(
            column="free_liquidity",
            at_most=0.5,
            yes=Fork(column="slot_affordable", at_most=0.5, yes=HOLD, no=RELEASE),
            no=Fork(column="slot_ticks_to_deadline", at_most=-1.5 / 96, yes=RELEASE, no=HOLD),
        ),
        amount_scale_cents=2_000_000_00,
        ticks_per_day=96,
    )
    assert tree_rules(tree).splitlines() == [
        "For each payment in the queue:",
        "  if free liquidity <= 1,000,000.00:",
        "    if the payment is not affordable:",
        "      hold  (90% of 10 decisions)",
        "    if the payment is affordable:",
        "      release  (90% of 10 decisions)",
        "  if free liquidity > 1,000,000.00:",
        "    if the payment's ticks to deadline <= -2 ticks:",
        "      release  (90% of 10 decisions)",
        "    if the payment's ticks to deadline > -2 ticks:",
        "      hold  (90% of 10 decisions)",
    ]


def test_columns_are_those_of_the_observation_in_their_order() -> None:
    names = list(observation_names(2))
    slots = [column.replace("slot_", f"slot_{place}_", 1) for place in (0, 1) for column in slot_columns()]
    assert [*bank_columns(), *slots] == names


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"slots": 4}, "slots = 8: the tree requires 4"),
        ({"split_parts": (2,)}, "split_parts = (2, 4): the tree requires (2,)"),
        ({"amount_scale_cents": 7}, "the tree requires 7"),
    ],
)
def test_tree_refuses_another_environment(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(TreeError) as refused:
        TreeAgent(PaymentVectorEnv(1, "two_bank"), _tree(RELEASE, **changes))
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"payments": {"action": 9, "decisions": 1, "agreement": 1}}, "action = 9: must be at most 3"),
        (
            {"payments": {"column": "mood", "at_most": 1, "yes": HOLD.model_dump(), "no": HOLD.model_dump()}},
            "column = 'mood': must be one of",
        ),
        (
            {
                "pool_shares": 5,
                "opening": {
                    "column": "slot_age",
                    "at_most": 1,
                    "yes": HOLD.model_dump(),
                    "no": HOLD.model_dump(),
                },
            },
            "column = 'slot_age': must be one of",
        ),
        ({"opening": HOLD.model_dump()}, "pool_shares = None: must be given if and only if"),
        (
            {"pool_shares": 5, "opening": {"action": 5, "decisions": 1, "agreement": 1}},
            "action = 5: must be at most 4",
        ),
    ],
)
def test_bad_tree_is_refused(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    content = {**json.loads(dump_tree(_tree(RELEASE))), **changes}
    (tmp_path / "tree.json").write_text(json.dumps(content))
    with pytest.raises(TreeError) as refused:
        load_tree(tmp_path / "tree.json")
    assert expected in str(refused.value)


def test_command_refuses_an_unfinished_run(trained: Path, tmp_path: Path) -> None:
    nowhere = _run(tmp_path)
    assert nowhere.exit_code == 2
    assert "is not a run folder" in nowhere.output
    missing = _run(trained, "--out", tmp_path / "no" / "tree.json")
    assert missing.exit_code == 2
    assert "there is no folder" in missing.output
    model = (trained / "model.zip").rename(trained / "model.away")
    try:
        unfinished = _run(trained)
    finally:
        model.rename(trained / "model.zip")
    assert unfinished.exit_code == 2
    assert "has no model.zip" in unfinished.output
