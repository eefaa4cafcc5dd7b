"""`nbplat doctor` as a command and as a line, on a state folder with a running service."""

from __future__ import annotations

import json
import re

import pytest

from nbplat.testing.shell import strict_shell
from tests.fixtures.product import Product

pytestmark = pytest.mark.process


def states(product: Product, code: int, **env: str) -> dict[str, tuple[str, str]]:
    """State and finding of each check, as the command's JSON has them."""
    told = json.loads(product.run("doctor", "--json", code=code, **env).out)
    assert (code == 0) == told["ok"]
    return {each["check"]: (each["state"], each["found"]) for each in told["checks"]}


def test_the_command(product: Product, tmp_path) -> None:
    """It ends with 0 while nothing is wrong and with 1 on a fault, runs beside the service, and shows no secret."""
    product.run("status")
    token = product.address()[1]
    spark = {"NBPLAT_JARS": str(tmp_path / "no jars")}
    found = states(product, 1, **spark)
    assert ("fault", "ok", "ok") == (found["iceberg jar"][0], found["service"][0], found["catalog, writing"][0])
    assert "its worker runs" in found["service"][1]
    ran = product.run("doctor", code=1, **spark)
    head, *lines = ran.out.splitlines()
    assert re.fullmatch(r"doctor: \d+ faults, \d+ warnings, \d+ ok, \d+ not needed", head)
    assert [line for line in lines if re.fullmatch(r"fault: iceberg jar: .* -> run `nbplat jars fetch`", line)]
    assert len(found) == len(lines)
    assert token not in ran.out + ran.err
    (product.home / "run" / "service.json").chmod(0o644)
    assert "fault" == states(product, 1, **spark)["tokens"][0]


def test_the_line(product: Product, monkeypatch) -> None:
    """`%nbplat doctor` shows the same as a table without a script, and fails no cell."""
    monkeypatch.setenv("NBPLAT_HOME", str(product.home))
    with strict_shell() as shell:
        page = shell.run("%nbplat doctor").value.bundle()["text/html"]
    assert ("<table" in page, "<script" in page, "state folder" in page) == (True, False, True)
