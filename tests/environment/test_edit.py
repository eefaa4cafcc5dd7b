"""Edits of a declaration change what they name and leave every other character where it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.environment.edit import Things, add, new_text, remove
from nbplat.environment.parse import parse_definition
from nbplat.errors import NotFound, RequestError

TEXT = """\
# What the ranker needs; ask Ann before you change it.
name: ranker   # as in the catalog
channels:
  - conda-forge  # public
  # ours comes second
  - https://conda.example.org/internal

dependencies:
  # the cluster's own
  - python=3.11
  - numpy >=2,<3    # 3 is untested
  - pandas

  - pip:
      # serving
      - lightgbm==4.6.0
      - 'ray[default]>=2.60'
# the end
nbplat:
  platforms: [linux-64]   # no Macs
  pack:
    slim: true
"""


def _without(text: str, *lines: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not any(part in line for part in lines))


def test_adding_keeps_every_other_line() -> None:
    """What is added stands behind its kind; no other line changes."""
    done = add(
        TEXT,
        Things(
            specs=("scipy>=1.14,<2",),
            pip=("polars",),
            channels=("./channel",),
            platforms=("osx-arm64",),
            local=("./ranker[gpu]",),
        ),
    )

    found = set(done.text.splitlines()) - set(TEXT.splitlines())
    assert {
        "  - scipy>=1.14,<2",
        "      - polars",
        "  - ./channel",
        "  platforms: [linux-64, osx-arm64]   # no Macs",
        "  local: ['./ranker[gpu]']",
    } == found
    assert ["  platforms: [linux-64]   # no Macs"] == [x for x in TEXT.splitlines() if x not in done.text.splitlines()]
    assert (
        "+ scipy>=1.14,<2",
        "+ pip polars",
        "+ channel ./channel",
        "+ platform osx-arm64",
        "+ local ./ranker[gpu]",
    ) == done.changes
    assert done.text.index("pandas") < done.text.index("scipy") < done.text.index("- pip:")


def test_a_package_that_is_there_gets_the_new_demand_in_its_place() -> None:
    """A second demand on a package replaces the first; the comment behind it stays."""
    done = add(TEXT, Things(specs=("NumPy=2.1",), pip=("ray==2.60.0",)))

    assert "  - NumPy=2.1    # 3 is untested\n" in done.text
    assert "      - ray==2.60.0\n" in done.text
    assert ("~ numpy >=2,<3 -> NumPy=2.1", "~ pip ray[default]>=2.60 -> ray==2.60.0") == done.changes


def test_adding_what_is_there_changes_nothing() -> None:
    """An equal demand in another spelling leaves the text as it is."""
    done = add(TEXT, Things(specs=("numpy>=2,<3", "pandas"), channels=("conda-forge/",), platforms=("linux-64",)))

    assert (TEXT, ()) == (done.text, done.changes)


def test_removing_takes_the_line_and_nothing_else() -> None:
    """A removed package goes with its line; what stands above and below stays."""
    done = remove(TEXT, Things(specs=("numpy", "lightgbm"), channels=("https://conda.example.org/internal",)))

    assert _without(TEXT, "numpy", "lightgbm", "conda.example.org") == done.text
    assert ("- numpy >=2,<3", "- pip lightgbm==4.6.0", "- channel https://conda.example.org/internal") == done.changes


def test_the_last_requirement_goes_with_the_pip_part() -> None:
    """A pip: part without requirements would be no declaration; it goes too."""
    done = remove(TEXT, Things(specs=("lightgbm", "ray")))

    assert "pip:" not in done.text
    assert () == done.definition.pip


def test_the_last_platform_goes_with_its_key() -> None:
    """An empty list of platforms would be no declaration; the key goes, and the block when it held nothing else."""
    text = "name: a\ndependencies:\n- python\nnbplat:\n  platforms:\n  - linux-64\n"

    assert "name: a\ndependencies:\n- python\n" == remove(text, Things(platforms=("linux-64",))).text
    assert "platforms" not in remove(TEXT, Things(platforms=("linux-64",))).text


def test_a_channel_beside_the_default_one_is_written_with_it() -> None:
    """Where no channels stand, conda-forge was taken: adding one writes both."""
    done = add("name: a\ndependencies: [python]\n", Things(channels=("./mine",)))

    assert "name: a\nchannels:\n  - conda-forge\n  - ./mine\ndependencies: [python]\n" == done.text


def test_text_in_braces_is_edited_too() -> None:
    """JSON-like YAML is edited by place as well, with quotes where a comma would end the value."""
    text = '{"name": "a", "dependencies": ["python", {"pip": ["x"]}]}'
    done = add(text, Things(specs=("numpy>=2,<3",), pip=("y[b]",), platforms=("linux-64",)))

    assert ("python", "numpy >=2,<3") == done.definition.dependencies
    assert ("x", "y[b]") == done.definition.pip
    assert '["python"' in done.text


def test_line_breaks_of_windows_stay() -> None:
    """A file with CRLF keeps it on every line, the new ones included."""
    done = add(TEXT.replace("\n", "\r\n"), Things(specs=("scipy",)))

    assert done.text.count("\r\n") == done.text.count("\n")


def test_a_file_without_a_last_line_break_is_edited() -> None:
    """What is added to a last line without a break stands on a line of its own."""
    done = add("name: a\ndependencies:\n- python", Things(specs=("numpy",)))

    assert "name: a\ndependencies:\n- python\n- numpy" == done.text


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nx: &deps [python, numpy]\ndependencies: *deps\n",
        "name: a\ndependencies:\n- &py python\n- numpy\nnbplat: {pack: {keep: *py}}\n",
        "name: a\ndependencies: [python, numpy]\nnbplat: {local: ./a}\n",
    ],
)
def test_what_cannot_be_edited_by_place_is_refused(text: str) -> None:
    """Anchors and short forms that an edit would break leave the file alone and say so."""
    with pytest.raises(RequestError) as caught:
        add(text, Things(specs=("python=3.12",), local=("./b",)))

    assert caught.value.code in ("env.edit", "env.key")


@pytest.mark.parametrize(
    ("things", "code", "words"),
    [
        (Things(specs=("numpy=>2",)), "env.spec", "no version"),
        (Things(pip=("-e .",)), "env.requirement", "-e"),
        (Things(channels=("https://me:pw@x.org/c",)), "env.secret", "login"),
        (Things(platforms=("linux",)), "env.platform", "linux"),
    ],
)
def test_what_could_not_be_declared_is_not_added(things: Things, code: str, words: str) -> None:
    """A demand that the parser would refuse is refused with the same code."""
    with pytest.raises(RequestError, match=words) as caught:
        add(TEXT, things)

    assert code == caught.value.code


def test_removing_what_is_not_there_names_the_nearest() -> None:
    """A misspelt package is answered with the one that was meant; the last channel and dependency stay."""
    with pytest.raises(NotFound, match=r"pandas\?"):
        remove(TEXT, Things(specs=("panda",)))
    with pytest.raises(RequestError, match="last channel"):
        remove("name: a\nchannels: [x]\ndependencies: [b]\n", Things(channels=("x",)))
    with pytest.raises(RequestError, match="last dependency"):
        remove("name: a\nchannels: [x]\ndependencies: [b]\n", Things(specs=("b",)))


def test_a_new_declaration_reads_as_what_was_asked() -> None:
    """`init` writes a file that conda reads and that holds everything that was named."""
    import yaml

    text = new_text(
        "ranker-2",
        Things(("python=3.11", "numpy>=2,<3"), ("ray[default]",), ("./channel", "x"), ("linux-64",), ("./pkg",)),
    )
    found = parse_definition(text)

    assert ("ranker-2", ("./channel", "x"), ("linux-64",)) == (found.name, found.channels, found.platforms)
    assert {"pip": ["ray[default]"]} == yaml.safe_load(text)["dependencies"][-1]


_NAMES = st.sampled_from("numpy pandas scipy polars pyarrow zlib".split())
_SPECS = st.builds(lambda name, tail: name + tail, _NAMES, st.sampled_from(["", "=1.2", ">=1,<2", "==3.0", "=*=x*"]))


@given(st.lists(st.one_of(st.tuples(st.just(True), _SPECS), st.tuples(st.just(False), _NAMES)), max_size=12))
def test_any_edits_in_a_row_keep_the_comments(steps: list[tuple[bool, str]]) -> None:
    """After any additions and removals the text reads as wanted and no comment line is lost."""
    text = TEXT
    held = {each.split()[0]: each for each in parse_definition(TEXT).dependencies}
    for adding, what in steps:
        if adding:
            text = add(text, Things(specs=(what,))).text
            spec = parse_definition(f"name: a\nchannels: [x]\ndependencies: [{what!r}]\n").dependencies[0]
            held[spec.split()[0]] = spec
        elif what in held:
            text = remove(text, Things(specs=(what,))).text
            del held[what]
        assert sorted(held.values()) == sorted(parse_definition(text).dependencies)
    comments = [line.strip() for line in TEXT.splitlines() if line.strip().startswith("#")]
    assert comments == [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
