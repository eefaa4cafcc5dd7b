"""`nb.Environment`: a declaration, its lock, what is built of it and where it runs. The magics do the same."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as ListOf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.ui.environment_place import Declared, Place, find_declared, maybe_declared
from nbplat.ui.render.result import Result

if TYPE_CHECKING:
    from nbplat.environment.definition import Definition
    from nbplat.environment.settings import Settings
    from nbplat.terms import EnvironmentRef

__all__ = ["Environment"]


def _quiet(_result: Result) -> None:
    pass


class Environment:
    """One Python environment: the same for kernel, driver, executors and Ray workers.

    Args:
        name: Of a declaration in ``envs/``, the path of one, a name that the store knows, or the start of a key. With
            `dependencies` it names a new declaration that has no file; its lock is then kept in the state folder.
        dependencies: Conda match specs, and at most one ``{"pip": [requirement, …]}``.
        keys: The other keys of the file: ``channels``, and ``nbplat`` with its block.

    Raises:
        RequestError: a key or value that is not possible; `where` has its line, or the path of the key.
        NotFound: ``env.unknown``.
    """

    def __init__(self, name: str, dependencies: ListOf[Any] | None = None, **keys: Any) -> None:
        self._place = self._new_place()
        self._word = name
        self._declared: Declared | None = None
        if dependencies is not None:
            from nbplat.environment.parse import from_keys
            from nbplat.environment.write import to_yaml

            folder = self._place.project.absolute()
            definition = from_keys({"dependencies": dependencies, **keys}, name=name, folder=folder)
            self._declared = Declared(definition, to_yaml(definition))
        elif maybe_declared(self._place, name) is None:
            self._word = self.ref.name
        else:
            _ = self.definition

    @classmethod
    def from_yaml(cls, text: str, name: str | None = None) -> Environment:
        """Read the text of a cell."""
        place = cls._new_place()
        found = find_declared(place, name, body=text)
        made = cls.__new__(cls)
        made.__dict__.update(_place=place, _declared=found, _word=found.definition.name)
        return made

    @classmethod
    def _new_place(cls) -> Place:
        """Where a new one works; `nb.local()` has its own."""
        return Place()

    # -- what it is --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """As people call it."""
        return self._word if self._declared is None and not self._file else self.definition.name

    @property
    def definition(self) -> Definition:
        """The declaration, read anew from its file.

        Raises:
            NotFound: ``env.unknown``: it was built elsewhere, and is not declared here.
        """
        return self._found.definition

    @property
    def ref(self) -> EnvironmentRef:
        """What is built of it on this machine: prefix, key, Python.

        Raises:
            NotFound: ``env.unknown``: nothing is.
        """
        from nbplat.ui.handlers.environment_jobs import built_word

        word = self._word
        folder = str(self._place.project.absolute())
        if self._declared is None:
            _, request = built_word(self._place, word)
            word, folder = request["environment"], request["folder"]
        return self._place.platform.environments.find(word, project=folder)

    @property
    def python(self) -> str:
        """Path of its interpreter on this machine."""
        return self.ref.interpreter

    # -- doing -------------------------------------------------------------------------------------

    def lock(
        self,
        *,
        upgrade: bool | ListOf[str] = False,
        platforms: ListOf[str] = (),
        offline: bool = False,
        dry_run: bool = False,
        wait: bool = True,
        show: Any = _quiet,
    ) -> Result:
        """Solve every platform, with hashes; what the old lock has and still fits stays.

        Args:
            upgrade: True takes the newest of everything, names those packages.
            platforms: The only ones to lock; the others stay as they are locked. Empty locks every one.
            dry_run: Only say what would change.
        """
        from nbplat.ui.handlers.environment_jobs import locked

        packages = tuple(upgrade) if not isinstance(upgrade, bool) else ()
        return locked(
            self._place,
            self._found,
            dry_run=dry_run,
            wait=wait,
            show=show,
            upgrade=upgrade is True,
            upgrade_packages=packages,
            platforms=tuple(platforms),
            offline=offline,
        )

    def build(
        self,
        *,
        lock: bool | None = None,
        platform: str = "",
        offline: bool = False,
        imports: bool = True,
        wait: bool = True,
        show: Any = _quiet,
    ) -> Result:
        """Install what the lock says into the store; ``result.value`` refers to what was built.

        Args:
            lock: Lock first when the declaration has changed; None does so where it has no file.
            platform: One of the lock's; empty takes that of this machine.
            imports: Try to import what the declaration names.
        """
        from nbplat.ui.handlers.environment_jobs import built

        found = self._found
        relock = found.path is None if lock is None else lock
        asked = {"platform": platform, "offline": offline, "imports": imports}
        return built(self._place, found, relock=relock, wait=wait, show=show, **asked)

    def pack(
        self,
        *,
        to: str | Path | None = None,
        explain: bool = False,
        platform: str = "",
        wait: bool = True,
        show: Any = _quiet,
        **options: Any,
    ) -> Result:
        """Make the archive; equal content has equal bytes.

        Args:
            to: Put a copy there.
            explain: Show the size by package.
            options: ``format``, ``target``, ``slim``, ``fast``, ``pyc``; what is not given is as declared.
        """
        from nbplat.ui.handlers.environment_jobs import archive_options, packed

        asked = archive_options(self._place, self._word, **options)
        return packed(
            self._place, self._word, to=to, explain=explain, wait=wait, show=show, platform=platform, options=asked
        )

    def push(self, uri: str, *, platform: str = "", wait: bool = True, show: Any = _quiet, **options: Any) -> Result:
        """Put the archive to a place under its hash; ``result.value["uri"]`` is where it lies."""
        from nbplat.ui.handlers.environment_jobs import archive_options, pushed

        asked = archive_options(self._place, self._word, **options)
        return pushed(self._place, self._word, uri, wait=wait, show=show, platform=platform, options=asked)

    @classmethod
    def pull(cls, uri: str, *, name: str = "", wait: bool = True, show: Any = _quiet) -> Result:
        """Fetch an archive, verify it and unpack it into the store; ``result.value`` refers to what is there then."""
        from nbplat.ui.handlers.environment_jobs import pulled

        return pulled(cls._new_place(), uri, called=name, wait=wait, show=show)

    # -- using -------------------------------------------------------------------------------------

    def conf(self, target: str, *, at: str | None = None, way: str | None = None, **more: Any) -> Settings:
        """The exact settings for a target: ``local``, ``standalone``, ``yarn-cluster``, ``ray``, ``kernel`` …

        Args:
            at: URI that push gave.
            way: ``prefix``, ``archive`` or ``launcher``; None takes what suits the target.
        """
        from nbplat.ui.handlers.environment_use import configured

        settings: Settings = configured(self._place, self._word, target, at=at, way=way, **more).value
        return settings

    def check(self, against: str | None = None, *, spark: str | None = None, ray: str | None = None) -> Result:
        """Hold it against this machine, an interpreter, an archive, another environment, ``spark`` or ``ray``.

        Raises:
            SetupError: ``env.check``: something would stop a job.
        """
        from nbplat.ui.handlers.environment_use import checked

        return checked(self._place, self._word, against, spark=spark, ray=ray)

    def kernel(self, *, display_name: str | None = None, remove: bool = False) -> Result:
        """Register it as a Jupyter kernel of this user, or take the kernel out again."""
        from nbplat.ui.handlers.environment_use import registered

        return registered(self._place, self._word, shown_as=display_name, remove=remove)

    def show(self) -> Result:
        """What is declared, locked and built."""
        from nbplat.ui.handlers.environment import showed

        return showed(self._place, self._word)

    def diff(self, other: str | None = None) -> Result:
        """What changes from another lock, or from what is built, to its lock."""
        from nbplat.ui.handlers.environment import differed

        return differed(self._place, self._word, other)

    def verify(self, *, repair: bool = False) -> Result:
        """Hold what is built against its lock, byte for byte."""
        from nbplat.ui.handlers.environment_store import verified

        return verified(self._place, self._word, repair=repair)

    # -- the store ---------------------------------------------------------------------------------

    @classmethod
    def list(cls) -> Result:
        """Declared and built environments."""
        from nbplat.ui.handlers.environment import listed

        return listed(cls._new_place())

    @classmethod
    def channel(
        cls,
        folder: str | Path,
        *,
        installed: ListOf[str] = (),
        wheels: ListOf[str | Path] = (),
        requirements: str | Path = "",
        interpreter: str | Path = "",
        python: bool = True,
        without: ListOf[str] = (),
        remove: ListOf[str] = (),
        show: Any = _quiet,
    ) -> Result:
        """Make a conda channel of a Python, of installed distributions and of wheels; see docs/channels.md.

        Args:
            installed: Distributions to take, with all that they need.
            wheels: Folders of wheels, or wheels.
            requirements: A requirements file: only what it names is taken, with all that it needs.
            interpreter: The Python that is packaged, and whose distributions are meant; empty: this one.
            python: Package the interpreter itself.
            without: Needs to leave out of every package.
            remove: Packages to take out first, ``NAME`` or ``NAME=VERSION``.

        Returns:
            A result whose ``value`` is the `ChannelReport`.
        """
        from nbplat.environment.channel.request import ChannelRequest
        from nbplat.ui.handlers.environment_channel import made

        request = ChannelRequest(
            Path(folder).expanduser(),
            interpreter=str(interpreter),
            python=python,
            installed=tuple(installed),
            wheels=tuple(str(one) for one in wheels),
            requirements=str(requirements),
            without=tuple(without),
            remove=tuple(remove),
        )
        return made(cls._new_place(), request, show)

    @classmethod
    def usage(cls) -> Result:
        """What the store takes on the disk."""
        from nbplat.ui.handlers.environment_store import measured

        return measured(cls._new_place())

    @classmethod
    def gc(cls, *, older_than_days: float | None = None, yes: bool = False) -> Result:
        """Remove what nothing needs; without `yes` only say what."""
        from nbplat.ui.handlers.environment_store import collected

        older_than_s = None if older_than_days is None else older_than_days * 86_400
        return collected(cls._new_place(), older_than_s=older_than_s, yes=yes)

    @property
    def _file(self) -> bool:
        return self._declared is None and maybe_declared(self._place, self._word) is not None

    @property
    def _found(self) -> Declared:
        return self._declared or find_declared(self._place, self._word)

    def __repr__(self) -> str:
        return f"<Environment {self.name}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, Any]:
        return self.show().bundle()
