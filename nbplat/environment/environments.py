"""Everything one can do with environments, with the parts that a platform gives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.environment.channels import ChannelRules, resolve_channels
from nbplat.environment.definition_file import read_file
from nbplat.environment.find import find_environment
from nbplat.environment.parse import parse_definition
from nbplat.environment.ports import Conda, Depot, Pip, Say
from nbplat.environment.states import kept_lock
from nbplat.environment.store import Store
from nbplat.environment.store_index import StoreIndex
from nbplat.errors import Conflict, NotFound, RequestError, did_you_mean

if TYPE_CHECKING:
    from nbplat.clock import Clock
    from nbplat.environment.build import BuildDone, BuildTools
    from nbplat.environment.built import Built
    from nbplat.environment.check import CheckReport
    from nbplat.environment.check_against import Checker
    from nbplat.environment.definition import Definition
    from nbplat.environment.explain_pack import PackExplanation
    from nbplat.environment.gc import Sweeping
    from nbplat.environment.kernel import KernelSpec
    from nbplat.environment.launcher import NodeCache
    from nbplat.environment.lock_record import Lock
    from nbplat.environment.pack_record import Pack
    from nbplat.environment.packing.ports import PackTools
    from nbplat.environment.settings import Settings
    from nbplat.environment.shipped import Shipped
    from nbplat.environment.usage import ListedEnvironment, StoreUsage
    from nbplat.environment.verify import VerifyReport
    from nbplat.job import JobStore
    from nbplat.terms import EnvironmentRef

__all__ = ["Environments"]


@dataclass(frozen=True, slots=True)
class Environments:
    """Declare, lock, build, pack, ship and check; each verb is told by the module that does it.

    Attributes:
        open_ledger: Gives runs and jobs; asked only by what needs them.
        store: What is built; its folder is made when something is.
        channels: What this machine knows of channels.
        tools: Compressor of an archive's format and level, and who compiles modules.
        needed: Environments that something beside the store needs, by key, with why in words: runs that are under way.
        checker: Holds environments against what they are declared for, and against other things.
    """

    open_ledger: Callable[[], JobStore]
    clock: Clock
    store: Store
    channels: ChannelRules
    conda: Conda
    pip: Pip
    depot: Depot
    tools: Callable[[str, int], PackTools]
    checker: Callable[[], Checker]
    needed: Callable[[], Mapping[str, Sequence[str]]] = dict

    @property
    def ledger(self) -> JobStore:
        """Runs and jobs."""
        return self.open_ledger()

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

    # -- locks -------------------------------------------------------------------------------------

    def lock(
        self,
        definition: Definition,
        *,
        old: Lock | None = None,
        fresh: bool = False,
        upgrade: Collection[str] = (),
        only: Collection[str] = (),
        offline: bool = False,
        say: Say,
    ) -> Lock:
        """Solve a declaration; see `nbplat.environment.lock.make_lock`."""
        from nbplat.environment.lock import Solvers, make_lock

        reached = resolve_channels(definition.channels, self.channels, definition.folder)
        solvers = Solvers(self.conda, self.pip, reached)
        return make_lock(
            definition, solvers, old=old, fresh=fresh, upgrade=upgrade, only=only, offline=offline, say=say
        )

    def lock_text(self, lock: Lock) -> str:
        """The file of a lock."""
        from nbplat.environment.lock_file import lock_text

        return lock_text(lock, self.channels)

    def old_lock(self, definition: Definition, text: str | None) -> Lock | None:
        """The lock that there is, fitting or not; None when there is none.

        Args:
            text: Of its file; empty: there is no file; None: the declaration has none, and the ledger keeps its lock.
        """
        from nbplat.environment.lock_file import parse_lock

        found = kept_lock(self.ledger, definition.name) if text is None else text
        return parse_lock(found, f"the lock of {definition.name}") if found else None

    def versions_to_keep(self, definition: Definition, text: str | None) -> Lock | None:
        """The older lock as far as a new one can follow it: of a damaged or conflicted file what can be read.

        Args:
            text: As `old_lock`.
        """
        from nbplat.environment.lock_read import salvage_lock

        try:
            return self.old_lock(definition, text)
        except RequestError:
            return salvage_lock(text) if text else None

    def fresh_lock(self, definition: Definition, text: str | None) -> Lock:
        """The lock of a declaration, when it is up to date.

        Raises:
            NotFound: ``env.lock_missing``.
            Conflict: ``env.lock_old``, with what differs.
        """
        from nbplat.environment.lock_check import check_lock

        found = self.old_lock(definition, text)
        fix = f"nbplat env lock {definition.name} (or build with --lock)"
        if found is None:
            raise NotFound("env.lock_missing", f"{definition.name} has no lock", fix=fix)
        wrong = check_lock(definition, found)
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise Conflict(
                "env.lock_old", f"the lock is out of date: {wrong[0].text}{more}", fix=fix, where=wrong[0].place
            )
        return found

    def out_of_date(self, definition: Definition, text: str | None) -> bool:
        """Whether a declaration must be locked before it is built."""
        from nbplat.environment.lock_check import check_lock

        found = self.versions_to_keep(definition, text)
        return found is None or bool(check_lock(definition, found))

    # -- built ones --------------------------------------------------------------------------------

    def build(
        self,
        lock: Lock,
        platform: str = "",
        *,
        folder: str = "",
        offline: bool = False,
        imports: bool = True,
        say: Say,
    ) -> BuildDone:
        """Have the environment of a lock; see `nbplat.environment.build.build`.

        Args:
            folder: Folder of the declaration; its paths start from there, and the name means this there.
            imports: Try to import what the declaration asks for by name.
        """
        from nbplat.environment.build import build

        tools = self._build_tools(lock.channels, folder)
        return build(
            lock, platform, tools, folder=Path(folder), project=folder, offline=offline, imports=imports, say=say
        )

    def _build_tools(self, channels: Sequence[str], folder: str) -> BuildTools:
        from nbplat.environment.build import BuildTools

        reached = resolve_channels(channels, self.channels, folder)
        return BuildTools(self.store, self.conda, self.pip, self.clock, reached)

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

    def by_key(self, key: str, name: str = "") -> EnvironmentRef:
        """What was built under a whole key, by the name that it is called now."""
        found = self.store.built(key)
        if found is None:
            raise NotFound(
                "env.unbuilt", f"{name or key[:12]} is not built here", fix=f"nbplat env build {name or 'NAME'}"
            )
        return found.ref(name)

    def show(self, ref: EnvironmentRef) -> dict[str, Any]:
        """Everything that is known of a built environment, as JSON."""
        listed = next((each for each in self.listing() if each.built.key == ref.key), None)
        built = self.built(ref)
        kinds = (("conda", built.lock.conda), ("pip", built.lock.pip), ("local", built.lock.local))
        return {
            **(listed.record() if listed is not None else {}),
            "ref": ref.record(),
            "lock_digest": ref.lock_digest,
            "requested": [*built.requested, *built.pip_requested],
            "contents": [
                {"name": one.name, "version": one.version, "build": getattr(one, "build", ""), "kind": kind}
                for kind, packages in kinds
                for one in packages
            ],
        }

    # -- archives ----------------------------------------------------------------------------------

    def pack(self, ref: EnvironmentRef, asked: Mapping[str, Any], say: Say) -> Pack:
        """Make the archive of an environment, or find it made; see `nbplat.environment.pack.pack`.

        Args:
            asked: Fields of `PackOptions` that differ from what the declaration said.
        """
        from nbplat.environment.definition import PackRules
        from nbplat.environment.pack import pack
        from nbplat.environment.pack_record import PackOptions, PackSource

        options = PackOptions.by(PackRules(), **asked).checked()
        source = PackSource.of(self.built(ref), ref.name, ref.lock_digest)
        return pack(source, options, self.store, self.tools(options.format, options.level), say)

    def check_options(self, asked: Mapping[str, Any]) -> None:
        """Refuse options of an archive that cannot be, before anything is queued."""
        from nbplat.environment.definition import PackRules
        from nbplat.environment.pack_record import PackOptions

        try:
            PackOptions.by(PackRules(), **asked).checked()
        except TypeError:
            known = ("format", "target", "slim", "pyc", "keep", "drop", "level", "threads")
            name = next(name for name in asked if name not in known)
            raise RequestError(
                "env.pack_option", f"archives have no option {name!r}", fix=did_you_mean(name, known)
            ) from None

    def check_place(self, uri: str) -> None:
        """Refuse a place that nothing can be pushed to, before anything is queued."""
        from nbplat.environment.locations import depot_uri

        depot_uri(uri, write=True)

    def check_archive(self, uri: str) -> None:
        """Refuse a URI that names no archive, before anything is queued."""
        from nbplat.environment.ship import parcel_at

        parcel_at(uri)

    def explain_pack(self, ref: EnvironmentRef, asked: Mapping[str, Any]) -> PackExplanation:
        """What an archive would hold, by package; see `nbplat.environment.explain_pack.explain_pack`."""
        from nbplat.environment.definition import PackRules
        from nbplat.environment.explain_pack import explain_pack
        from nbplat.environment.pack_record import PackOptions, PackSource

        options = PackOptions.by(PackRules(), **asked).checked()
        source = PackSource.of(self.built(ref), ref.name, ref.lock_digest)
        return explain_pack(source, options, self.store, self.tools(options.format, options.level))

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

    def check(self, ref: EnvironmentRef, against: str = "", *, spark: str = "", ray: str = "") -> CheckReport:
        """Hold an environment against something; see `nbplat.environment.check_against.Checker.check`."""
        from nbplat.environment.definition import Targets

        return self.checker().check(ref, against, Targets(spark, ray))

    # -- the store ---------------------------------------------------------------------------------

    def listing(self) -> list[ListedEnvironment]:
        """Built environments, the last used first."""
        from nbplat.environment.usage import listing

        return listing(self.store, self.needed())

    def usage(self) -> StoreUsage:
        """What the store takes on the disk."""
        from nbplat.environment.usage import usage

        return usage(self.store, self.needed())

    def gc(self, *, older_than_s: float | None = None, dry_run: bool = True) -> Sweeping:
        """Remove what nothing needs; see `nbplat.environment.gc`.

        Args:
            older_than_s: Also what is only kept for its name and was not used for so long; None keeps it.
            dry_run: Only say what would go.

        Raises:
            Conflict: ``env.busy``: something is built in the store now.
        """
        from nbplat.environment.gc import GcRules, plan_gc, sweep

        rules = GcRules(older_than_ms=None if older_than_s is None else int(older_than_s * 1000))
        if dry_run:
            return plan_gc(self.store, rules, self.clock, self.needed)
        return sweep(self.store, rules, self.clock, self.needed, waiting=_busy)

    def verify(self, ref: EnvironmentRef | None = None, *, repair: bool = False, say: Say) -> VerifyReport:
        """Read what is built, byte for byte; see `nbplat.environment.verify`.

        Args:
            ref: None takes every environment.
            repair: Build anew what is damaged.
        """
        from nbplat.environment import verify as verifying

        every = self.store.every() if ref is None else [self.built(ref)]
        if not repair:
            return verifying.verify(self.store, every, say=say)
        folders = {named.key: named.project for named in StoreIndex(self.store.index).names()}
        reports = []
        for one in every:
            report = verifying.verify(self.store, [one], say=say)
            if not report.whole:
                folder = folders.get(one.key, "")
                tools = self._build_tools(sorted({package.channel for package in one.lock.conda}), folder)
                report = verifying.repair(report, [one], tools, folder=Path(folder), say=say)
            reports.append(report)
        return verifying.VerifyReport(
            tuple(found for report in reports for found in report.environments),
            {name: files for report in reports for name, files in report.packages.items()},
            sum(report.packages_read for report in reports),
        )

    def kernel(
        self, ref: EnvironmentRef, *, name: str = "", display_name: str = "", kernels: Path | None = None
    ) -> KernelSpec:
        """Register it as a Jupyter kernel; see `nbplat.environment.kernel.write_kernel`.

        Args:
            kernels: Folder of kernels; None takes this user's own.
        """
        from nbplat.environment.kernel import user_kernels, write_kernel

        folder = kernels or user_kernels()
        return write_kernel(ref, self.store, self.clock, kernels=folder, name=name, display_name=display_name)

    def remove_kernels(self, name: str, *, kernels: Path | None = None) -> list[KernelSpec]:
        """Take every kernel of an environment out again."""
        from nbplat.environment.kernel import kernels_of, remove_kernel, user_kernels

        folder = kernels or user_kernels()
        return [remove_kernel(self.store, spec.name, kernels=folder) for spec in kernels_of(folder, name)]


def _busy(who: str) -> None:
    raise Conflict(
        "env.busy",
        f"{who} works in the store of environments, so nothing was removed",
        fix="run it again when that is done; `nbplat job list` shows what runs",
    )
