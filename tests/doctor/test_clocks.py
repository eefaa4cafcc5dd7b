"""This machine's clock against those of real servers: a database, an object store, a service."""

from __future__ import annotations

import pytest

from nbplat.clock import SystemClock
from nbplat.compose import open_platform
from nbplat.testing.clock import FakeClock
from nbplat.ui.client import ServiceClient
from tests.doctor.asked import FAULT, OK, WARNING, answer, config, configured
from tests.fixtures.s3_catalog import s3_catalog
from tests.fixtures.s3_server import S3Server, bucket, s3_server

__all__ = ["bucket", "config", "s3_catalog", "s3_server"]


def off_by(seconds: float) -> FakeClock:
    """This machine's clock, set wrong."""
    return FakeClock(SystemClock().now_ms() + int(seconds * 1000))


def test_a_clock_that_was_set_back(config):
    """What the ledger has from the future is a warning; a fresh ledger has nothing to say."""
    assert (OK, True) == ((found := answer("clock", config))[0], "no other is asked" in found[1])
    platform = open_platform(config)
    platform.store.take_lease("table:a", "w1", ttl_ms=0)
    platform.close()
    assert OK is answer("clock", config)[0]
    verdict, text, mend = answer("clock", config, off_by(-3600))
    assert (WARNING, True, True) == (verdict, "this clock was set back" in text, "timedatectl" in mend)


@pytest.mark.postgres
def test_the_clock_of_the_database(tmp_path, postgres_url):
    """Further off than a lease holds is a fault: another service would take what this one holds."""
    config = configured(tmp_path, store__url=postgres_url)
    assert (OK, True) == ((found := answer("clock", config))[0], "the ledger's database" in found[1])
    verdict, text, _ = answer("clock", config, off_by(600))
    assert (FAULT, True) == (verdict, "ahead of the ledger's database" in text), text
    assert (WARNING, True) == ((found := answer("clock", config, off_by(-12)))[0], "behind the ledger's" in found[1])


@pytest.mark.s3
def test_the_clock_of_the_object_store(tmp_path, s3_server: S3Server, s3_catalog):
    """A quarter of an hour off, it refuses every request."""
    config = configured(tmp_path, catalog__name=s3_catalog["catalog.name"])
    verdict, text, _ = answer("clock", config)
    assert (OK, True) == (verdict, text.endswith(f", as the object store at {s3_server.endpoint} has it")), text
    assert WARNING is answer("clock", config, off_by(300))[0]
    verdict, text, _ = answer("clock", config, off_by(1200))
    assert (FAULT, True) == (verdict, text.endswith("the object store refuses what we sign")), text


@pytest.mark.process
def test_the_clock_of_a_teams_service(tmp_path, toy_client: ServiceClient):
    """Minutes off, what is told of jobs is wrong; one that does not answer is a warning here."""
    (tmp_path / "token").write_text(toy_client.token)
    (tmp_path / "token").chmod(0o600)
    team = {"service__token_file": str(tmp_path / "token")}
    config = configured(tmp_path, service__url=toy_client.url, **team)
    assert OK is answer("clock", config)[0]
    assert (FAULT, True) == ((found := answer("clock", config, off_by(-600)))[0], "600 s behind" in found[1]), found
    gone = configured(tmp_path, service__url="http://127.0.0.1:9", **team)
    assert (WARNING, True) == ((found := answer("clock", gone))[0], "no other clock can be asked" in found[1]), found
