"""Relocates an unpacked environment when its Python first starts in it; a look at one small file ever after.

Travels inside archives as ``site-packages/_nbplat_relocate.py`` behind a ``.pth`` file: whoever unpacks an archive
without knowing of us (Spark's ``spark.archives``, Ray's ``working_dir``, a plain ``tar``) gets one that works.
"""


def _start() -> None:
    import os

    root = __file__
    for _ in range(4):  # lib/python3.11/site-packages/_nbplat_relocate.py
        root = os.path.dirname(root)
    # A container of YARN reaches the folder by a link of its own that is gone after it.
    root = os.path.realpath(root)
    folder = root + "/.nbplat/"
    try:
        with open(folder + "prefix", encoding="utf-8", errors="surrogateescape") as file:
            if file.read() == root:
                return
    except OSError:
        pass
    if os.environ.get("NBPLAT_RELOCATE") == "0" or not os.access(folder, os.W_OK):
        return
    try:
        with open(folder + "relocate.py", encoding="utf-8") as file:
            program = compile(file.read(), folder + "relocate.py", "exec")
        names = {"__name__": "_nbplat_relocate_program", "__file__": folder + "relocate.py"}
        exec(program, names)
        names["relocate"](root)  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001 - an interpreter must start, whatever is wrong with the folder
        import sys

        sys.stderr.write(f"nbplat: the environment at {root} does not know its own path: {error}\n")


_start()
