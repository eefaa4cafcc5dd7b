"""Runs a program of Spark's own (spark-submit, spark-class) with the pyspark of an interpreter, or a borrowed one."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PYSPARK", "spark_program"]

PYSPARK = "spark.nbplat.environment.pyspark"
"""In a conf: folder of the pyspark that an environment without one borrows."""

_RUN = """
import importlib.util, os, sys
own, home, *words = sys.argv[1:]
spec = importlib.util.find_spec("pyspark")
home = os.path.dirname(spec.origin) if spec else home
if not home:
    sys.exit("there is no pyspark here: install nbplat[spark]")
for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
    os.environ.pop(name, None)
    if own:
        os.environ[name] = sys.executable
os.environ["SPARK_HOME"] = home
os.execv(home + "/bin/" + words[0], words)
"""


def spark_program(interpreter: str, pyspark: str, words: Sequence[str], *, own: bool = False) -> list[str]:
    """The command that runs it.

    Args:
        interpreter: Looks for pyspark; a program in its own installation comes first.
        pyspark: Folder of the one to borrow; empty: none.
        words: The program's name in ``bin``, and what it is given.
        own: Whether driver and workers run in that interpreter too; else as the settings say.
    """
    return [interpreter, "-I", "-c", _RUN, "own" if own else "", pyspark, *words]
