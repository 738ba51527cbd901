"""Scalars, images and hyperparameters in TensorBoard, and figures of a run."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import MultiDiscrete
from numpy.typing import NDArray
from paysim_agents.scripted import scripted
from paysim_training.algorithms.callbacks import decision_scalars
from paysim_training.algorithms.ppo import learn
from paysim_training.core.config import (
    PICTURE_SEED,
    TRAINING_SEEDS_END,
    ConfigError,
    SeedRange,
    TrainConfig,
    parse_config,
)
from paysim_training.core.day_recording import record_policy_day
from paysim_training.core.hparams import (
    EVALUATION_SCALARS,
    best_rule,
    hyperparameters,
    write_evaluation_scalars,
)
from paysim_training.core.run_figures import draw_costs, draw_days
from paysim_training.core.run_folder import RunFolder, create_run_folder
from paysim_training.core.task import resolve_env
from paysim_training.evaluate import evaluate_run
from PIL import Image as PngImage
from playwright.sync_api import sync_playwright
from rich.console import Console
from stable_baselines3.common.callbacks import BaseCallback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import (
    parse_experiment_plugin_data,
    parse_session_start_info_plugin_data,
)

from paysim_gym import load_scenario
from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.evaluation import evaluate
from paysim_gym.render import render_picture
from paysim_gym.render.picture import SIZE

ROWS, TICKS = 4, 12
ROLLOUT = ROWS * TICKS
QUIET = Console(file=io.StringIO())
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class _Notes(BaseCallback):
    """Counts the actions and masks of rollouts independently of the callback."""

    def __init__(self) -> None:
        super().__init__()
        self.rollouts: list[dict[str, int]] = []
        self.pictures: dict[int, NDArray[np.uint8]] = {}
        self._masks: NDArray[np.bool_] = np.zeros((0, 0), np.bool_)

    def _on_rollout_start(self) -> None:
        self.rollouts.append(dict.fromkeys(("hold", "release", "split", "illegal", "flags", "legal"), 0))
        self._record()

    def _on_step(self) -> bool:
        count = self.rollouts[-1]
        for row, flags in zip(self.locals["actions"], self._masks, strict=True):
            for slot, action in enumerate(row):
                legal = flags[slot * 4 : slot * 4 + 4]
                count["flags"] += 4
                count["legal"] += int(legal.sum())
                count["illegal"] += not legal[action]
                if legal[1]:
                    done = action if legal[action] else 0
                    count[("hold", "release", "split", "split")[done]] += 1
        self._record()
        return True

    def _on_rollout_end(self) -> None:
        day = record_policy_day(lambda env: self.model, load_scenario("two_bank"), PICTURE_SEED)
        self.pictures[self.num_timesteps] = render_picture(day)

    def _record(self) -> None:
        self._masks = np.stack(self.training_env.env_method("action_masks"))


def _config(**changes: Any) -> TrainConfig:
    tiny = {
        "seed": 5,  # of a network that soon plays another day
        "num_envs": ROWS,
        "torch_threads": 1,
        "timesteps": 5 * ROLLOUT,
        "picture_every": 3 * ROLLOUT,
        "ppo": {
            "steps_per_rollout": TICKS,
            "batch_size": ROLLOUT,
            "epochs": 1,
            "learning_rate": 0.02,
            "slot_hidden_size": 8,
        },
        "evaluation": {"first_seed": 2**40, "episodes": 6},
        "tuning": {"first_seed": 2**41, "episodes": 2},
    }
    return parse_config({**tiny, **changes})


def _learn(path: Path, *watchers: BaseCallback, **changes: Any) -> RunFolder:
    config = _config(**changes)
    env, scenario = resolve_env(config.env)
    run = create_run_folder(path, "tiny", config.model_copy(update={"env": env}), scenario)
    learn(run, QUIET, watchers)
    return run


@pytest.fixture(scope="module")
def notes() -> _Notes:
    return _Notes()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, notes: _Notes) -> RunFolder:
    learned = _learn(tmp_path_factory.mktemp("runs") / "first", notes)
    evaluate_run(learned, QUIET)
    return learned


def _events(run: RunFolder) -> EventAccumulator:
    return EventAccumulator(str(run.tensorboard), size_guidance={"images": 0}).Reload()


def test_scalars_of_decisions_by_hand() -> None:
    # Two slots with hold, release and a split, and five shares of a pool; three steps: a payment, two of
    # them, the opening of a day.
    held, whole, divisible = (1, 0, 0), (1, 1, 0), (1, 1, 1)
    no_share, share = (1, 0, 0, 0, 0), (1, 1, 1, 1, 1)
    masks = np.array(
        [(*whole, *held, *no_share), (*divisible, *whole, *no_share), (*held, *held, *share)], np.bool_
    )
    actions = np.array([(1, 0, 0), (2, 2, 1), (2, 0, 3)])
    space = MultiDiscrete([3, 3, 5])
    assert decision_scalars(actions, masks, np.array([False, False, True]), space, 2) == {
        "actions/hold": pytest.approx(1 / 3),
        "actions/release": pytest.approx(1 / 3),
        "actions/split": pytest.approx(1 / 3),
        "actions/pool_share": 0.75,
        "masks/legal_actions": pytest.approx(10 / 18),
        "masks/illegal_actions_per_step": 1.0,
        "masks/slots_with_payment": pytest.approx(3 / 4),
    }
    only_openings = decision_scalars(actions[2:], masks[2:], np.array([True]), space, 2)
    assert only_openings.keys() == {
        *("actions/pool_share", "masks/legal_actions", "masks/illegal_actions_per_step"),
    }
    none = np.zeros(2, np.bool_)
    without_pool = decision_scalars(actions[:2, :2], masks[:2, :6], none, MultiDiscrete([3, 3]), 2)
    assert "actions/pool_share" not in without_pool


def test_rollout_scalars_equal_an_independent_count(run: RunFolder, notes: _Notes) -> None:
    events = _events(run)
    assert len(notes.rollouts) == 5
    for place, count in enumerate(notes.rollouts):
        payments = count["hold"] + count["release"] + count["split"]
        assert min(count["hold"], count["release"], count["split"]) > 0
        expected = {f"actions/{name}": count[name] / payments for name in ("hold", "release", "split")}
        expected["masks/legal_actions"] = count["legal"] / count["flags"]
        expected["masks/illegal_actions_per_step"] = count["illegal"] / ROLLOUT
        expected["masks/slots_with_payment"] = payments / (ROLLOUT * 8)
        for name, value in expected.items():
            event = events.Scalars(name)[place]
            assert (event.step, event.value) == (ROLLOUT * (place + 1), pytest.approx(value, rel=1e-6)), name


def test_images_show_a_day_of_the_current_policy(run: RunFolder, notes: _Notes) -> None:
    images = _events(run).Images("day")
    assert [image.step for image in images] == [ROLLOUT, 3 * ROLLOUT, 5 * ROLLOUT]
    for image in images:
        pixels = np.asarray(PngImage.open(io.BytesIO(image.encoded_image_string)))
        np.testing.assert_array_equal(pixels, notes.pictures[image.step])
    assert not np.array_equal(notes.pictures[ROLLOUT], notes.pictures[5 * ROLLOUT])


def test_images_do_not_change_training_and_are_optional(run: RunFolder, tmp_path: Path) -> None:
    plain = _learn(tmp_path / "plain", picture_every=None)
    assert plain.model.read_bytes() == run.model.read_bytes()
    assert not _events(plain).Tags()["images"]


def test_the_image_day_is_no_day_of_training_or_evaluation() -> None:
    last = SeedRange(first_seed=2**63 - 1, episodes=1_000_000).seeds[-1]
    assert TRAINING_SEEDS_END <= last < PICTURE_SEED < 2**64
    with pytest.raises(ConfigError, match="picture_every = 0: must be greater than"):
        _config(picture_every=0)


def test_a_recorded_day_is_the_evaluated_day() -> None:
    policy = scripted({"type": "myopic"})
    table = evaluate(policy, "two_bank", [2**40])
    day = record_policy_day(policy, load_scenario("two_bank"), 2**40)
    assert [tick for tick, _ in day.balances()] == list(range(49))
    assert {f"cost_{name}": cents for name, cents in day.latest["costs_today"].items()} == {
        f"cost_{name}": getattr(table, f"cost_{name}")[0] for name in COST_COMPONENTS
    }


def test_hparams_have_hyperparameters_and_evaluation(run: RunFolder) -> None:
    metrics = json.loads(run.metrics.read_text())
    costs = {name: policy["cost_cents_mean"] for name, policy in metrics["policies"].items()}
    ppo = costs.pop("ppo")
    assert best_rule(metrics) == min(costs, key=costs.__getitem__)
    best = min(costs.values())
    for _ in range(2):
        events = _events(run)
        ends = [[(event.step, event.value) for event in events.Scalars(name)] for name in EVALUATION_SCALARS]
        expected = [(5 * ROLLOUT, pytest.approx(value, rel=1e-6)) for value in (ppo, best, best - ppo)]
        assert ends == [[value] for value in expected]
        write_evaluation_scalars(run, metrics)  # again: it replaces the first

    content = events.summary_metadata
    chosen = parse_session_start_info_plugin_data(
        content["_hparams_/session_start_info"].plugin_data.content
    ).hparams
    assert {name: chosen[name].number_value for name in ("seed", "num_envs", "ppo/epochs")} == {
        **{"seed": 5, "num_envs": ROWS, "ppo/epochs": 1}
    }
    assert chosen["env"].string_value == "PaySim/TwoBank-v1"
    assert (
        chosen.keys() == hyperparameters(_config(warm_start={"days": 2}, env={"id": "PaySim/Bank-v1"})).keys()
    )
    compared = parse_experiment_plugin_data(content["_hparams_/experiment"].plugin_data.content).metric_infos
    assert {*EVALUATION_SCALARS, "episode/cost_cents"} <= {metric.name.tag for metric in compared}


def test_the_figure_of_costs_has_the_cheapest_first_and_the_learned_in_bold(run: RunFolder) -> None:
    metrics = json.loads(run.metrics.read_text())
    policies = metrics["policies"]
    by_cost = sorted(policies, key=lambda name: policies[name]["cost_cents_mean"])
    panel = draw_costs(metrics).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        "PPO" if name == "ppo" else name.replace("_", " ") for name in by_cost
    ]
    bold = [label.get_text() for label in panel.get_yticklabels() if label.get_fontweight() == "bold"]
    assert bold == ["PPO"]
    intervals, means = panel.lines[::2], panel.lines[1::2]
    assert [np.asarray(line.get_xdata()).tolist() for line in intervals] == [
        policies[name]["cost_cents_ci95"] for name in by_cost
    ]
    assert [np.asarray(line.get_xdata()).tolist() for line in means] == [
        [policies[name]["cost_cents_mean"]] for name in by_cost
    ]
    assert panel.yaxis_inverted()


def test_the_figure_of_a_day_has_both_policies_on_one_scale() -> None:
    scenario = load_scenario("two_bank")
    days = {
        name: record_policy_day(scripted({"type": rule}), scenario, 5)
        for name, rule in (("ppo", "release_all"), ("myopic", "myopic"))
    }
    figure = draw_days(days, "PaySim/TwoBank-v1", 5)
    left, right = figure.axes[:2]
    costs = [sum(day.latest["costs_today"].values()) / 100 for day in days.values()]
    assert left.get_title("left") == f"PPO, cost {costs[0]:,.0f}"
    assert right.get_title("left") == f"Best rule: myopic, cost {costs[1]:,.0f}"
    for panel, day in zip((left, right), days.values(), strict=True):
        assert list(map(tuple, np.asarray(panel.lines[0].get_xydata()).tolist())) == day.balances()
    for left, right in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        assert left.get_ylim() == right.get_ylim()
    assert "seed 5" in figure.get_suptitle()


def test_evaluation_draws_both_figures(run: RunFolder) -> None:
    for path in (run.cost_figure, run.day_figure):
        with PngImage.open(path) as image:
            assert image.format == "PNG"
            assert min(image.size) > 500


@contextmanager
def _tensorboard(folder: Path) -> Iterator[str]:
    """Starts TensorBoard on a folder and yields its address once all runs are loaded."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--load_fast=false"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        (address,) = next(found for line in process.stderr if (found := re.findall(r" at (http\S+)", line)))
        while True:
            with urllib.request.urlopen(f"{address}data/plugin/scalars/tags") as answer:
                tags = json.load(answer)
            if len(tags) == 2 and all(EVALUATION_SCALARS[0] in names for names in tags.values()):
                break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.communicate()


def test_a_browser_shows_scalars_images_and_hparams(run: RunFolder) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser on the path: none of {', '.join(BROWSERS)}")
    second = _learn(run.path.with_name("second"), seed=1, picture_every=None)
    write_evaluation_scalars(second, json.loads(run.metrics.read_text()))
    with _tensorboard(run.path.parent) as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        # Nothing but TensorBoard is asked for anything.
        page.route(lambda url: not url.startswith(address), lambda route: route.abort())
        page.goto(f"{address}#timeseries", wait_until="domcontentloaded")
        page.get_by_text("actions/release", exact=True).first.wait_for()
        page.goto(f"{address}#images", wait_until="domcontentloaded")
        picture_of_day = page.locator("img[src*=individualImage]").first
        picture_of_day.wait_for()
        page.wait_for_function("image => image.naturalWidth", arg=picture_of_day.element_handle())
        assert picture_of_day.evaluate("image => [image.naturalWidth, image.naturalHeight]") == list(SIZE)
        page.goto(f"{address}#hparams", wait_until="domcontentloaded")
        for name in ("first", "second"):
            label = page.get_by_text(f"{name}/tensorboard", exact=True).locator("visible=true")
            label.first.wait_for()
        chromium.close()
