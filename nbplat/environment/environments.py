"""Everything one can do with environments, with the parts that a platform gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.environment.channels import ChannelRules, resolve_channels
from nbplat.environment.definition_file import find_file, read_file
from nbplat.environment.find import find_environment
from nbplat.environment.parse import parse_definition
from nbplat.environment.ports import Conda, Depot, Pip, Say
from nbplat.environment.store import Store
from nbplat.errors import NotFound

if TYPE_CHECKING:
    from nbplat.clock import Clock
    from nbplat.environment.build import BuildDone
    from nbplat.environment.built import Built
    from nbplat.environment.check import CheckReport
    from nbplat.environment.check_against import Checker
    from nbplat.environment.definition import Definition, Targets
    from nbplat.environment.launcher import NodeCache
    from nbplat.environment.lock_record import Lock
    from nbplat.environment.pack_record import Pack
    from nbplat.environment.packing.ports import PackTools
    from nbplat.environment.settings import Settings
    from nbplat.environment.shipped import Shipped
    from nbplat.job import JobStore
    from nbplat.terms import EnvironmentRef

__all__ = ["Environments"]


@dataclass(frozen=True, slots=True)
class Environments:
    """Declare, lock, build, pack, ship and check; each verb is told by the module that does it.

    Attributes:
        ledger: Runs and jobs.
        store: What is built; its folder is made when something is.
        channels: What this machine knows of channels.
        tools: Compressor of an archive's format and level, and who compiles modules.
        checker: Holds environments against what they are declared for, and against other things.
    """

    ledger: JobStore
    clock: Clock
    store: Store
    channels: ChannelRules
    conda: Conda
    pip: Pip
    depot: Depot
    tools: Callable[[str, int], PackTools]
    checker: Callable[[Targets], Checker]

    # -- declarations ------------------------------------------------------------------------------

    def define(self, text: str | Path, *, name: str | None = None, folder: str = "") -> Definition:
        """Read a declaration: a file, or its text.

        Args:
            text: A path, or YAML.
            name: Of a text without the key ``name``.
            folder: Folder that the paths of a text start from.
        """
        if isinstance(text, Path):
            return read_file(text)
        return parse_definition(text, name=name, folder=folder)

    def declared(self, name: str, project: Path | str = ".") -> Path:
        """The file of a declaration, by its name or path.

        Raises:
            NotFound: ``env.unknown``.
        """
        found = find_file(name, project)
        if found is None:
            raise NotFound("env.unknown", f"there is no envs/{name}.yml", fix=f"make it: nbplat env init {name}")
        return found

    # -- built ones --------------------------------------------------------------------------------

    def build(self, lock: Lock, platform: str = "", *, folder: str = "", offline: bool = False, say: Say) -> BuildDone:
        """Have the environment of a lock; see `nbplat.environment.build.build`.

        Args:
            folder: Folder of the declaration; its paths start from there, and the name means this there.
        """
        from nbplat.environment.build import BuildTools, build

        tools = BuildTools(
            self.store, self.conda, self.pip, self.clock, resolve_channels(lock.channels, self.channels, folder)
        )
        return build(lock, platform, tools, folder=Path(folder), project=folder, offline=offline, say=say)

    def find(self, wanted: str, *, project: str = "", platform: str = "") -> EnvironmentRef:
        """A built environment by its name or the start of its key; see `nbplat.environment.find`."""
        return find_environment(self.store, wanted, project=project, platform=platform, clock=self.clock)

    def built(self, ref: EnvironmentRef) -> Built:
        """What was built under a key.

        Raises:
            NotFound: ``env.unbuilt``: it has gone meanwhile.
        """
        found = self.store.built(ref.key)
        if found is None:
            raise NotFound(
                "env.unbuilt", f"{ref.name} ({ref.key[:12]}) is not built here", fix=f"nbplat env build {ref.name}"
            )
        return found

    # -- archives ----------------------------------------------------------------------------------

    def pack(self, ref: EnvironmentRef, asked: Mapping[str, Any], say: Say) -> Pack:
        """Make the archive of an environment, or find it made; see `nbplat.environment.pack.pack`.

        Args:
            asked: Fields of `PackOptions` that differ from what the declaration said.
        """
        from nbplat.environment.definition import PackRules
        from nbplat.environment.pack import pack
        from nbplat.environment.pack_record import PackFolders, PackOptions, PackSource

        built = self.built(ref)
        options = PackOptions.by(PackRules(), **asked).checked()
        source = PackSource(
            ref.name, built.key, Path(built.prefix), built.lock, built.lock_digest, (*built.requested, *built.pip_requested)
        )
        folders = PackFolders.of_store(self.store.root)
        return pack(source, options, folders, self.tools(options.format, options.level), say)

    def push(self, pack: Pack, uri: str, say: Say) -> Shipped:
        """Put an archive to a place, with its launcher; see `nbplat.environment.ship.push`."""
        from nbplat.environment.ship import push

        return push(pack, uri, self.depot, say=say)

    def pull(self, uri: str, *, name: str = "", project: str = "", say: Say) -> EnvironmentRef:
        """Have the environment of an archive here; see `nbplat.environment.pull.pull`."""
        from nbplat.environment.pull import pull

        return pull(uri, self.store, self.depot, self.clock, name=name, project=project, say=say)

    def conf(
        self, ref: EnvironmentRef, target: str, *, way: str = "", at: str = "", cache: NodeCache | None = None
    ) -> Settings:
        """The settings that run an environment somewhere; see `nbplat.environment.conf.conf`.

        Args:
            at: URI of its archive; empty takes the newest one in the store.
            cache: What a launcher does on the nodes.
        """
        from nbplat.environment.conf import conf

        return conf(ref, target, self.store, self.depot, way=way, at=at, cache=cache)

    def check(
        self, ref: EnvironmentRef, against: str = "", *, spark: str = "", ray: str = ""
    ) -> CheckReport:
        """Hold an environment against something; see `nbplat.environment.check_against.Checker.check`."""
        from nbplat.environment.definition import Targets

        return self.checker(Targets(spark, ray)).check(ref, against)
