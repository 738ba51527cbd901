"""Named scenarios, scenarios in requests, and invalid requests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from service import SMALL, Service, post_raw, serving
from starlette.testclient import TestClient

import paysim_gym
from paysim_gym import bundled_scenarios, load_scenario
from paysim_gym.server.application import create_app
from paysim_gym.server.settings import Settings


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx2.Client]:
    with service.client() as client:
        yield client


def test_scenarios_are_listed_and_shown(client: httpx2.Client) -> None:
    listed = client.get("/api/scenarios", params={"limit": 200}).json()
    assert [entry["name"] for entry in listed["items"]] == bundled_scenarios()
    five_bank = client.get("/api/scenarios/five_bank").json()
    assert five_bank == load_scenario("five_bank").model_dump(mode="json")
    assert client.get("/api/scenarios/replayed_days").json()["payments_file"] == "sample_payments.csv"


@pytest.mark.parametrize(
    "name", ["..%2ftwo_bank", "%2fetc%2fpasswd", "two_bank.yaml", "..%2f..%2fpyproject", "~", "no", "%00"]
)
def test_a_name_never_becomes_a_path(client: httpx2.Client, name: str) -> None:
    assert client.get(f"/api/scenarios/{name}").status_code == 404
    plain = httpx2.URL(f"http://x/{name}").path[1:]
    refused = client.post("/api/simulations", json={"scenario": plain})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "scenario"


def test_a_path_is_no_name_even_where_a_scenario_is(client: httpx2.Client, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text(json.dumps(SMALL), "utf-8")
    bundled = Path(paysim_gym.__file__).parent / "scenarios" / "two_bank"
    for name in (outside, outside.with_suffix(""), bundled, bundled.with_suffix(".yaml")):
        for written in (str(name), os.path.relpath(name), f"file://{name}"):
            refused = client.post("/api/simulations", json={"scenario": written})
            assert refused.status_code == 422
            assert refused.json()["errors"][0]["path"] == "scenario"


def test_own_scenarios_come_from_one_folder_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, outside = tmp_path / "scenarios", tmp_path / "outside.yaml"
    folder.mkdir()
    outside.write_text(json.dumps(SMALL), "utf-8")
    (folder / "mine.yaml").write_text(json.dumps(SMALL | {"description": "Mine."}), "utf-8")
    (folder / "broken.yaml").write_text("a: [", "utf-8")
    (folder / "link.yaml").symlink_to(outside)
    with TestClient(create_app(Settings(scenarios=folder))) as client:
        listed = client.get("/api/scenarios", params={"limit": 200}).json()["items"]
        assert sorted(entry["name"] for entry in listed) == sorted([*bundled_scenarios(), "broken", "mine"])
        assert next(entry for entry in listed if entry["name"] == "mine")["description"] == "Mine."
        assert client.post("/api/simulations", json={"scenario": "mine"}).status_code == 201
        for name in ("link", "../outside", "broken"):
            refused = client.post("/api/simulations", json={"scenario": name})
            assert refused.status_code == 422
            assert str(tmp_path) not in refused.text
        assert str(tmp_path) not in str(listed)
        assert str(folder / "broken.yaml") in caplog.text


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"ticks_per_day": 0}, ["ticks_per_day"]),
        ({"ticks_per_day": 1.5, "num_days": True}, ["ticks_per_day", "num_days"]),
        ({"agents": []}, ["agents"]),
        ({"agents": [SMALL["agents"][0] | {"balance": -5}, SMALL["agents"][1]]}, ["agents[0].balance"]),
        ({"agents": [SMALL["agents"][0]] * 2}, ["agents[1].id"]),
        ({"unknown": 1}, ["unknown"]),
        ({"payments_file": "/etc/passwd"}, ["payments_file"]),
        ({"payments_file": 5}, ["payments_file"]),
        (
            {"agents": [SMALL["agents"][0] | {"policy": {"type": "network", "weights": "/etc/passwd"}}]},
            ["agents[0].policy.weights"],
        ),
        ({"description": "\ud800"}, ["description"]),
        ({"\ud800": 1}, ["scenario"]),
    ],
)
def test_a_wrong_scenario_is_refused_by_its_fields(
    client: httpx2.Client, change: dict[str, Any], paths: list[str]
) -> None:
    for body in (SMALL | change, {"scenario": SMALL | change}):
        # Sent raw, because httpx refuses lone surrogates itself.
        refused = post_raw(client, "/api/simulations", body)
        assert refused.status_code == 422
        assert [problem["path"] for problem in refused.json()["errors"]] == paths
        assert all(problem["message"].startswith(problem["path"]) for problem in refused.json()["errors"])
        checked = post_raw(client, "/api/scenarios/validate", body)
        assert checked.json() == {"is_valid": False, "errors": refused.json()["errors"]}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        b"\xff",
        "[" * 100_000,
        "9" * 10_000,
        '{"ticks_per_day": NaN}',
        '{"ticks_per_day": 1, "ticks_per_day": 2}',
    ],
)
def test_what_is_no_json_is_a_bad_request(client: httpx2.Client, body: str | bytes) -> None:
    for path in ("/api/simulations", "/api/scenarios/validate"):
        refused = post_raw(client, path, body)
        assert refused.status_code == 400
        assert refused.json()["detail"].startswith("the body is not application/json: ")


@pytest.mark.parametrize("body", ["null", "1", '"two_bank"', "[]", '{"scenario": 1}', '{"scenario": null}'])
def test_what_is_no_scenario_is_refused(client: httpx2.Client, body: str) -> None:
    assert post_raw(client, "/api/simulations", body).status_code == 422


def test_the_envelope_has_two_keys(client: httpx2.Client) -> None:
    refused = client.post("/api/simulations", json={"scenario": "two_bank", "sed": 1})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "sed")
    refused = post_raw(client, "/api/simulations", {"scenario": "two_bank", "\ud800": 1})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "?")
    refused = post_raw(client, "/api/simulations", {"scenario": "two_bank", "x" * 9_999: 1})
    assert len(refused.json()["errors"][0]["message"]) == 500
    for seed in (-1, 2**64, 1.5, "1", True):
        refused = client.post("/api/simulations", json={"scenario": "two_bank", "seed": seed})
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "seed")


def test_yaml_is_plain_data(client: httpx2.Client, tmp_path: Path) -> None:
    made = post_raw(client, "/api/simulations", json.dumps(SMALL), "application/yaml")
    assert made.status_code == 201
    file = tmp_path / "made"
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghi"))
    for text in (
        f"!!python/object/apply:os.system ['touch {file}']",
        f"description: !!python/object/apply:pathlib.Path.touch [!!python/object:pathlib.Path '{file}']",
        "!!python/name:os.system",
        bomb,
        "a: 1\na: 2",
        "a: [",
        "[" * 100_000,
        "!!seq x: 1",
        "a: 1" + ":0" * 200 + ".5",
    ):
        assert post_raw(client, "/api/simulations", text, "application/yaml").status_code == 400
    assert not file.exists()


def test_other_content_types_are_refused(client: httpx2.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"):
        assert post_raw(client, "/api/simulations", SMALL, kind).status_code == 415
