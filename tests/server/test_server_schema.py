"""Schemathesis sends valid and invalid requests from the OpenAPI document."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from service import serving

CONFIG = Path(__file__).parent / "schemathesis.toml"


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    with serving() as service, service.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
        operations = sum(map(len, paths.values()))
        command = [str(Path(sys.executable).with_name("st")), "--config-file", str(CONFIG), "run"]
        command += [f"{service.url}/openapi.json", "--seed", "1", "--no-color"]
        environment = os.environ | {"NO_PROXY": "127.0.0.1"}
        run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert run.returncode == 0, run.stdout
        assert f"Tested: {operations}" in run.stdout
        assert client.get("/health").status_code == 200
    statuses = {line["status"] for line in service.log if line["message"] == "request"}
    assert {200, 201, 404, 422} <= statuses
    assert max(statuses) < 500
