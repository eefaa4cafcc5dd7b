"""Names near to one that no channel has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

__all__ = ["nearest_packages"]

# The Python index, or the import, calls it one way and conda another.
_OTHER_NAMES = {
    "beautifulsoup": ("beautifulsoup4",),
    "bs4": ("beautifulsoup4",),
    "build": ("python-build",),
    "cv2": ("opencv", "py-opencv"),
    "dateutil": ("python-dateutil",),
    "faiss": ("faiss-cpu",),
    "graphviz": ("python-graphviz",),
    "kafka": ("kafka-python",),
    "mysqlclient": ("mysql-connector-python",),
    "opencv-python": ("opencv", "py-opencv"),
    "opencv-python-headless": ("py-opencv", "opencv"),
    "pil": ("pillow",),
    "psycopg2-binary": ("psycopg2",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "spark": ("pyspark",),
    "tables": ("pytables",),
    "tensorflow-cpu": ("tensorflow",),
    "torch": ("pytorch",),
    "xgboost-cpu": ("xgboost", "py-xgboost"),
    "yaml": ("pyyaml",),
}


def nearest_packages(name: str, known: Collection[str], *, limit: int = 3) -> tuple[str, ...]:
    """Up to `limit` known names that were probably meant, the likeliest first; empty when none is near.

    What the same package is called elsewhere comes first, then the same letters in another spelling
    (``scikit_learn``, ``python-numpy``), then names that differ by few letters.
    """
    name = name.lower()
    found = [other for other in _OTHER_NAMES.get(name, ()) if other in known]
    bare = _bare(name)
    found += sorted(other for other in known if _bare(other) == bare)
    # Comparing letters with every name of a big channel takes half a second; near names have a near length.
    alike = [other for other in known if abs(len(other) - len(name)) <= 2 + len(name) // 4]
    found += difflib.get_close_matches(name, alike, n=limit, cutoff=0.7)
    return tuple(dict.fromkeys(found))[:limit]


def _bare(name: str) -> str:
    return re.sub(r"^(python|py|lib)-|[-_.]|-python$", "", name)
