"""A job must not run with other indexes and logins than the caller has; the marks that tell so hold no secret."""

from __future__ import annotations

import pytest

from nbplat.errors import Conflict
from nbplat.service.caller_variables import check_variables, variable_marks

SERVICE = {"UV_INDEX_URL": "https://me:pw@index.example.org", "HOME": "/", "UV_CACHE_DIR": "/a", "CORP": "token"}


def test_equal_variables_pass() -> None:
    """What decides nothing, what is empty and where uv keeps its cache may differ; None says nothing."""
    mine = {**SERVICE, "HOME": "/else", "UV_CACHE_DIR": "/b", "UV_OFFLINE": "", "PATH": "/bin"}

    check_variables(variable_marks(mine, ["CORP"]), SERVICE, ["CORP"])
    check_variables(None, SERVICE)


@pytest.mark.parametrize(
    ("mine", "names"),
    [
        ({**SERVICE, "UV_INDEX_URL": "https://other"}, "UV_INDEX_URL is not"),
        ({}, "CORP, UV_INDEX_URL are not"),
        ({**SERVICE, "https_proxy": "http://proxy"}, "https_proxy is not"),
        ({**SERVICE, "CORP": "other"}, "CORP is not"),
    ],
)
def test_variables_that_differ_are_named(mine: dict[str, str], names: str) -> None:
    """The error says which variables and how to have them used."""
    with pytest.raises(Conflict, match=names) as caught:
        check_variables(variable_marks(mine, ["CORP"]), SERVICE, ["CORP"])

    assert ("env.variables", True) == (caught.value.code, "service stop" in caught.value.fix)


def test_marks_hold_no_value() -> None:
    """No value of a variable, nor a part of one, stands in its mark."""
    marks = variable_marks(SERVICE, ["CORP"])

    assert {"UV_INDEX_URL", "CORP"} == set(marks)
    assert not any(part in str(marks) for part in ("index", "pw", "token"))
