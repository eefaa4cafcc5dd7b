"""Checks of what is installed: packages and their versions, Jupyter's extensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from nbplat.config import Config
from nbplat.ui.doctor.finding import Said, Verdict
from nbplat.ui.doctor.jupyter_files import config_folders, data_folders, settings_in

__all__ = [
    "EXTRAS",
    "asked_extras",
    "check_base",
    "check_extra",
    "check_lab",
    "check_server_extension",
    "installed_version",
]

EXTRAS = ("spark", "ray", "sklearn", "numba", "xgboost", "torch", "postgres", "s3", "sparkmagic")

_LAB = "nbplat-lab"
_SERVER = "nbplat.ui.server"

Installed = Callable[[str], str | None]


def installed_version(package: str) -> str | None:
    """The version of a package here; None when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def asked_extras(config: Config) -> dict[str, str]:
    """Extras that the configuration needs, and the setting that says so."""
    found = {
        extra: key
        for extra, field, key in (
            ("spark", "spark_master", "spark.master"),
            ("spark", "session_master", "session.master"),
            ("ray", "ray_address", "ray.address"),
            ("postgres", "store_url", "store.url"),
        )
        if field in config.sources and getattr(config, field)
    }
    if config.env_archives.startswith("s3"):
        found["s3"] = "env.archives"
    return found


def check_base(needed: Sequence[str] | None = None, installed: Installed = installed_version) -> Said:
    """The packages that every part needs, in versions that go together.

    Args:
        needed: Requirements as a package's metadata write them; None takes nbplat's own.
    """
    wrong, missing = _misfits(_of_extra("", needed), installed)
    if wrong or missing:
        return _misfit(wrong, missing, "pip install --upgrade nbplat")
    return Said(Verdict.OK, f"{len(_of_extra('', needed))} packages in versions that fit, nbplat {installed('nbplat')}")


def check_extra(
    extra: str, asked: Mapping[str, str], needed: Sequence[str] | None = None, installed: Installed = installed_version
) -> Said:
    """The packages of an optional part: not needed when none is here and no setting asks for it.

    Args:
        asked: Extras that the configuration needs, with the setting that says so.
    """
    install = f'pip install "nbplat[{extra}]"'
    requirements = _of_extra(extra, needed)
    wrong, missing = _misfits(requirements, installed)
    if missing and len(missing) + len(wrong) == len(requirements) and not wrong:
        if extra in asked:
            return Said(Verdict.FAULT, f"not installed, and {asked[extra]} needs it", install)
        return Said(Verdict.NOT_NEEDED, "not installed", install)
    if wrong or missing:
        said = _misfit(wrong, missing, install)
        # sparkmagic's pandas below 3 holds nobody up who does not use it.
        return said if extra in asked or not missing or wrong else Said(Verdict.WARNING, said.text, said.mend)
    return Said(Verdict.OK, ", ".join(f"{name} {installed(name)}" for name, _ in requirements))


def check_lab(paths: Sequence[str] | None = None, configs: Sequence[str] | None = None) -> Said:
    """JupyterLab finds the panel, in the version of the package, and has it not switched off.

    Args:
        paths: Jupyter's data folders, the nearest first; None takes this machine's.
        configs: Its configuration folders likewise.
    """
    paths, configs = data_folders(paths), config_folders(configs)
    found = next(
        (path for each in paths if (path := Path(each, "labextensions", _LAB, "package.json")).is_file()), None
    )
    if found is None:
        return Said(Verdict.WARNING, "JupyterLab has no panel of nbplat", _mend_panel())
    there, ours = str(settings_in(found).get("version")), version("nbplat")
    if there != ours:
        return Said(Verdict.FAULT, f"the panel at {found.parent} is {there}, the package is {ours}", _mend_panel())
    for near in configs:
        off = settings_in(Path(near, "labconfig", "page_config.json")).get("disabledExtensions", {})
        names = off if isinstance(off, list) else [name for name, yes in off.items() if yes]
        if switched := [name for name in names if name.split(":")[0] == _LAB]:
            return Said(Verdict.FAULT, f"{switched[0]} is disabled in {near}", f"jupyter labextension enable {_LAB}")
    return Said(Verdict.OK, f"{there} at {found.parent}")


def check_server_extension(configs: Sequence[str] | None = None) -> Said:
    """Jupyter's server loads our extension, through which the panel reaches the service."""
    enable = f"jupyter server extension enable {_SERVER} --sys-prefix"
    state: dict[str, tuple[bool, str]] = {}
    # The nearest folder wins, and in each the one file over those of the folder.
    for folder in reversed(config_folders(configs)):
        base = Path(folder)
        for file in (*sorted((base / "jupyter_server_config.d").glob("*.json")), base / "jupyter_server_config.json"):
            for name, on in settings_in(file).get("ServerApp", {}).get("jpserver_extensions", {}).items():
                state[name] = (bool(on), str(file))
    if _SERVER not in state:
        return Said(Verdict.WARNING, "Jupyter's server does not load nbplat: the panel has nothing to talk to", enable)
    on, told_by = state[_SERVER]
    if not on:
        return Said(Verdict.FAULT, f"{_SERVER} is disabled in {told_by}", enable)
    return Said(Verdict.OK, f"{_SERVER} by {told_by}")


def _of_extra(extra: str, needed: Sequence[str] | None) -> list[tuple[str, str]]:
    """Name and version specifier of an extra's requirements here; of the base install for an empty name."""
    from packaging.requirements import Requirement

    found = []
    for text in requires("nbplat") or [] if needed is None else needed:
        each = Requirement(text)
        base = each.marker is None or each.marker.evaluate({"extra": ""})
        chosen = each.marker is not None and not base and each.marker.evaluate({"extra": extra})
        if (base and not extra) or (chosen and extra):
            found.append((each.name, str(each.specifier)))
    return found


def _misfits(requirements: Sequence[tuple[str, str]], installed: Installed) -> tuple[list[str], list[str]]:
    """Those of another version, as text, and those that are not installed."""
    from packaging.specifiers import SpecifierSet

    wrong, missing = [], []
    for name, wanted in requirements:
        found = installed(name)
        if found is None:
            missing.append(name)
        elif not SpecifierSet(wanted).contains(found, prereleases=True):
            wrong.append(f"{name} {found} (needed {wanted})")
    return wrong, missing


def _misfit(wrong: Sequence[str], missing: Sequence[str], install: str) -> Said:
    parts = [*wrong, *(f"{name} is missing" for name in missing)]
    return Said(Verdict.FAULT, ", ".join(parts), install)


def _mend_panel() -> str:
    checkout = Path(__file__).parents[3] / "labextension" / "package.json"
    return "make labextension" if checkout.is_file() else "pip install --force-reinstall --no-deps nbplat"
