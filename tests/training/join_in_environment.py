"""A notebook's work with a join whose Ray workers run in an environment; writes what it saw as JSON.

Run as a script in a folder without nbplat: Ray gives its workers the driver's folder, which must not help them.

Args: the state folder, and one where the ranks of Ray Train write.
"""

import json
import sys
from pathlib import Path

import nbplat as nb


def where(batch):
    """Which interpreter runs this, and whose nbplat it has."""
    import nbplat_marker
    import pyarrow as pa

    import nbplat.remote

    found = {"marker": nbplat_marker.__version__, "prefix": sys.prefix, "code": nbplat.remote.__file__}
    return pa.table({name: [value] * batch.num_rows for name, value in found.items()})


def loop(config):
    """A rank of Ray Train: its own batches, and a package that only the environment has."""
    import nbplat_marker
    import ray.train

    rank = ray.train.get_context().get_world_rank()
    ids = [number for batch in config["shard"].batches(20, seed=3) for number in batch["id"].to_pylist()]
    told = {"marker": nbplat_marker.__version__, "prefix": sys.prefix, "ids": ids}
    (Path(config["folder"]) / f"{rank}.json").write_text(json.dumps(told))


def main(home, folder):
    from ray.train import RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    local = nb.local(home=home, limits__threads=2)
    join = local.training_join("j.base", stage=["twice@1", "j.score:score"], on="id")
    told = {"started": join.start_ray("ranker")}
    here = [batch.to_pylist() for batch in join.batches(50, shuffle="window", seed=3)]
    there = [batch.to_pylist() for batch in join.batches(50, shuffle="window", seed=3, runner="ray", env="ranker")]
    told["tasks"] = there == here
    dataset = join.to_ray(shuffle="window", seed=3, env="ranker")
    read = dataset.iter_batches(batch_size=50, batch_format="pyarrow", prefetch_batches=0)
    told["dataset"] = [batch.to_pylist() for batch in read] == here
    environment = join.runtime_env("ranker")
    told["workers"] = dataset.map_batches(where, batch_format="pyarrow", runtime_env=environment).take(1)[0]
    DataParallelTrainer(
        loop,
        train_loop_config={"shard": join.shard(), "folder": folder},
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(name="ranks", storage_path=f"{folder}/runs", worker_runtime_env=environment),
    ).fit()
    told["ranks"] = [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(2)]
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
