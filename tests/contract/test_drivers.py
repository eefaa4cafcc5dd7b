"""The contract of drivers where no Spark is needed to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.contract.driver_contract import DriverContract, staged
from tests.fixtures.backends import Backend, Stage
from tests.fixtures.served_livy import served_livy

pytestmark = pytest.mark.process

_LIVY_GAPS = {
    "test_output_comes_while_the_statement_runs": "Livy tells what a statement printed when it has ended",
    "test_names_are_inspected": "Livy inspects nothing",
    "test_an_uploaded_file_reaches_the_driver": "what is uploaded here is not sent on",
    "test_rows_go_both_ways_as_arrow": "Livy has no Arrow",
}
BACKENDS = [
    Backend("process", "python"),
    Backend("dialled", "python", toy=True),
    Backend("livy", gaps=_LIVY_GAPS),
]


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda one: one.name)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service that took over from one that was killed while a statement ran; its session is `adopted`."""
    backend: Backend = request.param
    if backend.name != "livy":
        yield from staged(backend, tmp_path_factory)
        return
    with served_livy(tmp_path_factory.mktemp("upstream")) as options:
        yield from staged(replace(backend, options=options), tmp_path_factory)


class TestDrivers(DriverContract):
    """Processes beside the service, drivers that dial back, and another Livy server."""
