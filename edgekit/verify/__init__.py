"""Does an artifact compute what its source computes? Agreement, task metrics, probes, verdicts.

    samples → source, artifact → agreement (whole outputs, their parts) ┐
    probes  → source, artifact → finiteness, state, agreement           ├→ verdict
    labels  → task metrics, chance                                      ┘

All arrays are ``[N, *shape]`` in the source's layout and dtype.
"""

from edgekit.verify.agreement import compare
from edgekit.verify.case import THRESHOLDS_DB, Case
from edgekit.verify.metrics import metric, task_metric
from edgekit.verify.verdict import judge

__all__ = ["THRESHOLDS_DB", "Case", "compare", "judge", "metric", "task_metric"]
