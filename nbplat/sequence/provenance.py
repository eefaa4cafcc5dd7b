"""What a snapshot of an index says of where it comes from, so that the ledger can be rebuilt from the tables."""

from __future__ import annotations

from collections.abc import Mapping

from nbplat.job import Run, StepContext
from nbplat.sequence.definition import Definition
from nbplat.sequence.ports import SourcePin

__all__ = ["provenance"]

# Packages that only the work of one engine names.
_ENGINE_OF = {"pyspark": "spark", "ray": "ray"}


def provenance(
    run: Run,
    context: StepContext,
    definition: Definition,
    *,
    step: str,
    index_version: str,
    plan_hash: str,
    engine: str,
    source: SourcePin,
    enrich: Mapping[str, SourcePin],
    versions: Mapping[str, str],
) -> dict[str, str]:
    """Entries of a snapshot's summary.

    Args:
        step: ``build``, ``increment``, ``correct`` or ``compact``.
        enrich: Table that enriches -> its pin.
        versions: Package -> version; those of other engines are left out.
    """
    snapshots = {"nbplat.source-snapshot-id": source} | {f"nbplat.source.{name}": pin for name, pin in enrich.items()}
    return {
        "nbplat.job": f"{run.id}/{context.job.id}",
        "nbplat.run": run.id,
        "nbplat.step": step,
        "nbplat.definition": definition.version,
        "nbplat.index-version": index_version,
        "nbplat.plan": plan_hash,
        "nbplat.engine": engine,
        "nbplat.source-identity": source.identity,
        **{key: str(pin.table.snapshot_id) for key, pin in snapshots.items() if pin.table is not None},
        **{
            f"nbplat.version.{name}": version
            for name, version in versions.items()
            if _ENGINE_OF.get(name, engine) == engine
        },
    }
