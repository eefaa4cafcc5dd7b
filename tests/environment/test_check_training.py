"""`--env` in training: the model learns in the built environment, the join stays here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbplat.adapters.interpreter.models import FittedThere
from nbplat.errors import NbplatError
from nbplat.terms import EnvironmentRef
from nbplat.training.evaluate import auc
from nbplat.training.run import TrainingResult
from nbplat.ui.cli import main
from nbplat.ui.python import Local, local
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small
from tests.fixtures.interpreters import link_packages, make_venv

SKLEARN = ("sklearn", "scikit_learn", "scipy", "joblib", "threadpoolctl.py", "narwhals", "cloudpickle")
TRAIN = "retail.train"

MARKED = """
import nbplat_marker
from sklearn.linear_model import SGDClassifier

assert nbplat_marker.__version__ == "7.7.7"
model = SGDClassifier(loss="log_loss", random_state=7)
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    face = local(home=str(tmp_path_factory.mktemp("env-training") / "home"))
    face.platform.load_demo()
    yield face
    face.close()


@pytest.fixture(scope="module")
def fraud(here: Local, small_channel: SmallChannel) -> EnvironmentRef:
    root = here.platform.config.home / "env"
    ref = build_small(small_channel, root, "python", "nbplat-marker ==7.7.7", name="fraud").ref
    link_packages(Path(ref.prefix), "numpy", "pyarrow", *SKLEARN)
    return ref


def trained(here: Local, **options: Any) -> TrainingResult:
    return here.training_join(TRAIN, label="label", time="label_ts", batch_rows=4096, epochs=2, **options)


def refused(here: Local, *, begun: bool = False, **options: Any) -> NbplatError:
    before = len(here.platform.store.runs())
    with pytest.raises(NbplatError) as caught:
        trained(here, **options)
    runs = here.platform.store.runs()
    assert before + begun == len(runs)
    if begun:
        assert ("failed", caught.value.code) == (runs[0].state, (runs[0].error or {}).get("code"))
    return caught.value


def test_a_model_learns_in_the_environment_what_it_learns_here(here: Local, fraud: EnvironmentRef) -> None:
    """The same estimator on the same batches gives the same figures, and the run keeps name, key and lock."""
    there = trained(here, env="fraud", model=MARKED, name="there")
    plain = MARKED.replace("import nbplat_marker\n", "").replace('assert nbplat_marker.__version__ == "7.7.7"\n', "")
    namespace: dict[str, Any] = {}
    exec(plain, namespace)  # noqa: S102 - the cell of this test
    same = trained(here, model=namespace["model"], name="same")
    assert same.auc_without.value == pytest.approx(there.auc_without.value, abs=1e-12)
    assert f"in environment fraud ({fraud.key[:12]})" in there.preprocessing[1]
    [run] = [run for run in here.platform.store.runs("training") if run.name == "there"]
    assert {"name": "fraud", "key": fraud.key, "lock_digest": fraud.lock_digest}.items() <= run.spec[
        "environment"
    ].items()
    assert there.plan_id != same.plan_id


def test_the_default_model_is_the_same_there_and_comes_back_pickled(here: Local, fraud: EnvironmentRef) -> None:
    """Without a cell scikit-learn's default learns, in the environment as here; it is loaded where its packages are."""
    there = trained(here, env="fraud")
    assert trained(here).auc_without.value == pytest.approx(there.auc_without.value, abs=1e-12)
    found = there.models["without"]
    assert isinstance(found, FittedThere)
    assert "SGDClassifier" in repr(found.load())


def test_a_model_that_cannot_be_pickled_leaves_its_figures(here: Local, fraud: EnvironmentRef) -> None:
    """Loading it says why."""
    source = MARKED + "model.note = lambda: None\nimport copy\n"
    source += "class Odd(SGDClassifier):\n    def __deepcopy__(self, memo):\n        return self\n"
    result = trained(here, env="fraud", model=source)
    assert 0 < result.auc_without.value < 1
    with pytest.raises(NbplatError) as caught:
        result.models["without"].load()
    assert "training.pickle" == caught.value.code


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name that nobody built": ({"env": "frued"}, "env.unknown"),
    "a path that leads nowhere": ({"env": "./nowhere"}, "python.interpreter"),
    "a module that it lacks": ({"env": "fraud", "model": "import polars\nmodel = polars"}, "env.check"),
    "a name of the notebook": ({"env": "fraud", "model": "model = my_model"}, "training.free_name"),
    "no model": ({"env": "fraud", "model": "import sklearn"}, "training.model"),
    "an object that cannot learn": ({"env": "fraud", "model": "model = 7"}, "training.model"),
    "a cell that raises": ({"env": "fraud", "model": "model = 1 / 0"}, "training.raised"),
    "an object of this process": ({"env": "fraud", "model": object()}, "training.model"),
    "a cell that is no Python": ({"env": "fraud", "model": "model ="}, "body.syntax"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_before_anything_is_read(here: Local, fraud: EnvironmentRef, what: str) -> None:
    """Each has its code and a mend, and no run is kept."""
    options, code = REFUSED[what]
    error = refused(here, **options)
    assert code == error.code, error
    assert error.fix


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("def partial_fit(self, X, y): import os; os._exit(9)", "training.crashed", "the model in environment fraud"),
        ("def partial_fit(self, X, y): raise ValueError('no rows')", "training.raised", "ValueError: no rows at line"),
    ],
)
def test_a_model_that_fails_fails_alone(here: Local, fraud: EnvironmentRef, source: str, code: str, said: str) -> None:
    """What it raises has its line, what ends its interpreter leaves this process alive, and the run stays as failed."""
    cell = f"class Bad:\n    {source}\n    def predict_proba(self, X): return X\nmodel = Bad()\n"
    error = refused(here, begun=True, env="fraud", model=cell)
    assert code == error.code
    assert said in error.message


def test_an_environment_without_scikit_learn_is_refused_with_the_command(
    here: Local, small_channel: SmallChannel
) -> None:
    """The default model needs it there; its distribution is named."""
    ref = build_small(small_channel, here.platform.config.home / "env", "nbplat-marker ==8.8.8", "python", name="bare")
    link_packages(Path(ref.ref.prefix), "numpy", "pyarrow")
    error = refused(here, env="bare")
    assert "env.check" == error.code
    assert "nbplat env add bare scikit-learn" in error.fix


def test_a_folder_will_do(here: Local, tmp_path: Path) -> None:
    """Any interpreter with what the model needs, by path."""
    python = make_venv(tmp_path / "venv", "numpy", "pyarrow", *SKLEARN)
    result = trained(here, env=str(tmp_path / "venv"))
    assert str(python) in result.preprocessing[1]


def test_the_plan_says_where_the_model_will_learn(
    here: Local, fraud: EnvironmentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the shell, with the cell in a file and nothing trained."""
    monkeypatch.setenv("NBPLAT_HOME", str(here.platform.config.home))
    cell = tmp_path / "model.py"
    cell.write_text(MARKED)
    out = io.StringIO()
    words = ["training", "plan", "t", "--table", TRAIN, "--label", "label", "--time", "label_ts", "--env", "fraud"]
    with redirect_stdout(out):
        assert 0 == main([*words, "--python", str(cell)])
    assert f"the model runs in environment fraud ({fraud.key[:12]})" in out.getvalue()


def test_the_area_is_that_of_scikit_learn() -> None:
    """Ties count a half; where the model learns elsewhere this figure needs no scikit-learn here."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 500)
    scores = np.round(rng.normal(size=500), 1)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
