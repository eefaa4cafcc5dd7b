"""What is wrong with a declaration is told with line and column, what is possible, and before anything is done."""

from __future__ import annotations

import re

import pytest

from nbplat.environment.definition_file import read_file
from nbplat.environment.parse import from_keys, parse_definition
from nbplat.errors import NotFound, RequestError

HEAD = "name: a\nchannels: [x]\n"

CASES = [
    # text, code, place, words of the message, words of the fix
    ("", "env.empty", "", "empty", "dependencies"),
    ("dependencies: [a\n", "env.yaml", "line 2, column 1", "not YAML", "quotes"),
    ("- a\n", "env.shape", "line 1, column 1", "no mapping", "channels"),
    ("name: a\n", "env.missing", "", "dependencies", "python=3.11"),
    ("dependncies: [a]\n", "env.key", "line 1, column 1", "dependncies", "did you mean dependencies"),
    (HEAD + "dependencies: []\n", "env.shape", "line 3, column 15", "is empty", "write a list"),
    (HEAD + "dependencies: numpy\n", "env.shape", "line 3, column 15", "no list", "write a list"),
    (HEAD + "dependencies: [a, b, A]\n", "env.twice", "line 3, column 22", "'a' twice", "line 3, column 16"),
    (HEAD + "dependencies:\n- numpy=>3\n", "env.spec", "line 4, column 8", "no version", "1.2"),
    (HEAD + "dependencies:\n- numpy[md5=1]\n", "env.spec", "line 4, column 9", "md5", "version, build, channel"),
    (HEAD + "dependencies:\n- '*mkl*'\n", "env.spec", "line 4, column 4", "pattern", "NAME"),
    (HEAD + "dependencies:\n- https://x.org/a.conda\n", "env.spec", "line 4, column 3", "address", "channel"),
    (HEAD + "dependencies:\n- __glibc>=2.28\n", "env.spec", "line 4, column 3", "virtual", "nbplat: virtual"),
    (HEAD + "dependencies:\n- y::numpy\n", "env.channel_name", "line 4, column 3", "'y'", "add it to channels"),
    (HEAD + "dependencies:\n- {conda: [a]}\n", "env.key", "line 4, column 3", "conda", "pip:"),
    (
        HEAD + "dependencies: [python, {pip: [a]}, {pip: [b]}]\n",
        "env.twice",
        "line 3, column 36",
        "second",
        "column 24",
    ),
    (HEAD + "dependencies: [numpy, {pip: [a]}]\n", "env.value", "line 3, column 23", "no python", "python=3.11"),
    (HEAD + "dependencies: [python, {pip: }]\n", "env.value", "line 3, column 29", "pip: is empty", "take it out"),
    (HEAD + "dependencies: [python, {pip: [a, A]}]\n", "env.twice", "line 3, column 34", "'a' twice", "keep one"),
    (
        HEAD + "dependencies: [python, {pip: [-e .]}]\n",
        "env.requirement",
        "line 3, column 31",
        "-e",
        "nbplat: local: .",
    ),
    (
        HEAD + "dependencies:\n- python\n- pip:\n  - ./pkg\n",
        "env.requirement",
        "line 6, column 5",
        "path",
        "local: ./pkg",
    ),
    (HEAD + "dependencies:\n- python\n- pip:\n  - -r x.txt\n", "env.requirement", "line 6, column 5", "-r", "x.txt"),
    (
        HEAD + "dependencies:\n- python\n- pip:\n  - --index-url https://me:pw@x.org\n",
        "env.requirement",
        "line 6, column 5",
        "--index-url",
        "UV_INDEX_URL",
    ),
    (
        HEAD + "dependencies:\n- python\n- pip:\n  - a @ git+https://me:pw@x.org/a\n",
        "env.requirement",
        "line 6, column 5",
        "***@x.org",
        "nbplat: local",
    ),
    (
        "name: a\nchannels: [https://me:pw@x.org/c]\ndependencies: [a]\n",
        "env.secret",
        "line 2, column 12",
        "x.org",
        "refer",
    ),
    (
        "name: a\nchannels: [https://x.org/t/abc/c]\ndependencies: [a]\n",
        "env.secret",
        "line 2, column 12",
        "token",
        "refer",
    ),
    (
        "name: a\nchannels: [ftp://x.org/c]\ndependencies: [a]\n",
        "env.channel_name",
        "line 2, column 12",
        "ftp",
        "https",
    ),
    ("name: a\nchannels: [x, x/]\ndependencies: [a]\n", "env.twice", "line 2, column 15", "'x' twice", "keep one"),
    (
        "name: a\nchannels: [nodefaults]\ndependencies: [a]\n",
        "env.value",
        "line 2, column 11",
        "no channel",
        "conda-forge",
    ),
    ("name: a b\nchannels: [x]\ndependencies: [a]\n", "env.name", "line 1, column 7", "'a b'", "letters"),
    (HEAD + "dependencies: [a]\nprefix: /x\n", "env.key", "line 4, column 1", "prefix", "take the line out"),
    (HEAD + "dependencies: [a]\nvariables: {A: 1}\n", "env.key", "line 4, column 1", "variables", "settings"),
    (HEAD + "dependencies: [a]\nplatforms: [linux-64]\n", "env.key", "line 4, column 1", "platforms", "nbplat:"),
    (HEAD + "dependencies: [a]\nslim: true\n", "env.key", "line 4, column 1", "slim", "nbplat.pack.slim"),
    (HEAD + "dependencies: [a]\nnbplat: {platfroms: [x]}\n", "env.key", "line 4, column 10", "platfroms", "platforms?"),
    (
        HEAD + "dependencies: [a]\nnbplat: {platforms: [linux64]}\n",
        "env.platform",
        "line 4, column 22",
        "linux64",
        "mean linux-64",
    ),
    (
        HEAD + "dependencies: [a]\nnbplat: {platforms: linux-64}\n",
        "env.shape",
        "line 4, column 21",
        "no list",
        "[linux-64]",
    ),
    (HEAD + "dependencies: [a]\nnbplat: {virtual: {glibc: 2}}\n", "env.key", "line 4, column 20", "glibc", "__glibc?"),
    (
        HEAD + "dependencies: [a]\nnbplat: {virtual: {__glibcs: 2}}\n",
        "env.key",
        "line 4, column 20",
        "__glibcs",
        "__glibc?",
    ),
    (
        HEAD + "dependencies: [a]\nnbplat: {virtual: {__cuda: '>=12'}}\n",
        "env.value",
        "line 4, column 28",
        ">=12",
        "2.28",
    ),
    (HEAD + "dependencies: [a]\nnbplat: {local: [s3://x/y]}\n", "env.local", "line 4, column 18", "address", "folder"),
    (HEAD + "dependencies: [a]\nnbplat: {local: [{extras: [a]}]}\n", "env.missing", "line 4, column 18", "path", "add"),
    (
        HEAD + "dependencies: [a]\nnbplat: {local: [./a, './a[b]']}\n",
        "env.twice",
        "line 4, column 23",
        "./a",
        "keep one",
    ),
    (HEAD + "dependencies: [a]\nnbplat: {targets: {spark: four}}\n", "env.value", "line 4, column 27", "four", "4.1"),
    (HEAD + "dependencies: [a]\nnbplat: {targets: {flink: 1}}\n", "env.key", "line 4, column 20", "flink", "spark"),
    (HEAD + "dependencies: [a]\nnbplat: {pack: {format: tgz}}\n", "env.value", "line 4, column 25", "tgz", "tar.gz"),
    (HEAD + "dependencies: [a]\nnbplat: {pack: {slim: 1}}\n", "env.value", "line 4, column 23", "1", "true or false"),
    (HEAD + "dependencies: [a]\ndependencies: [b]\n", "env.twice", "line 4, column 1", "dependencies", "line 3"),
    (HEAD + "dependencies: [!!python/name:os.system]\n", "env.tag", "line 3, column 16", "tag", "take it out"),
]


@pytest.mark.parametrize(
    ("text", "code", "place", "message", "fix"), CASES, ids=[case[0][-40:] or "empty" for case in CASES]
)
def test_a_mistake_is_told_where_it_stands(text: str, code: str, place: str, message: str, fix: str) -> None:
    """Each mistake has its code, its place, the value and the mend."""
    with pytest.raises(RequestError) as caught:
        parse_definition(text, name=None if text.startswith("name") else "a")

    error = caught.value
    assert (code, place) == (error.code, error.where)
    assert message in error.message
    assert fix in error.fix


def test_no_secret_is_repeated() -> None:
    """An error about a password in an address does not show it."""
    for text in (case[0] for case in CASES if ":pw@" in case[0] or "/t/abc" in case[0]):
        with pytest.raises(RequestError) as caught:
            parse_definition(text)

        assert not re.search(r"\bpw\b|\babc\b", str(caught.value))


def test_a_missing_name_is_told() -> None:
    """A text without a name, where nobody gives one, is refused."""
    with pytest.raises(RequestError, match=r"env\.missing.*'name'"):
        parse_definition("dependencies: [a]\n")


def test_keys_of_python_have_their_path_as_the_place() -> None:
    """A mistake in a dict is told by the path of its key."""
    with pytest.raises(RequestError) as caught:
        from_keys({"dependencies": ["a", "b=>1"]}, name="a")

    assert ("env.spec", "dependencies[1]") == (caught.value.code, caught.value.where)


def test_a_fault_of_a_file_begins_with_the_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The place of a fault in a file says which one."""
    path = tmp_path / "ranker.yml"
    path.write_text("dependencies: [a, a]\n")

    with pytest.raises(RequestError) as caught:
        read_file(path)

    assert f"{path}, line 1, column 19" == caught.value.where


def test_a_file_that_is_not_there_names_the_nearest(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A misspelt path is answered with the one that was meant."""
    (tmp_path / "ranker.yml").write_text("dependencies: [a]\n")

    with pytest.raises(NotFound, match=r"ranker\.yml\?"):
        read_file(tmp_path / "rankr.yml")


def test_a_file_of_another_encoding_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Bytes that are not UTF-8 are told by their place."""
    path = tmp_path / "ranker.yml"
    path.write_bytes(b"name: Z\xe9e\n")

    with pytest.raises(RequestError, match=r"byte 7 is not UTF-8"):
        read_file(path)
