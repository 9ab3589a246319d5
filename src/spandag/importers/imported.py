"""What an import read and wrote."""

from __future__ import annotations

from dataclasses import dataclass

from spandag.store.rows import BRANCH_POINT_PREFIX, Batch


@dataclass
class Imported:
    """What an import read and wrote; the same again where it had been written before.

    Attributes:
        source: Where it came from: a file, or a database without a password.
        runs: Its runs.
        nodes: Nodes, without branch points; of CMBAgent its own, steps without one, redos, and one for each
            cost record.
        events: Execution events; of CMBAgent also messages that belong to none.
        messages: Different messages of each run.
        cost_records: Model calls with tokens or cost.
        redos: Branch points within runs.
        forks: Runs that branched off another.
    """

    source: str
    runs: int = 0
    nodes: int = 0
    events: int = 0
    messages: int = 0
    cost_records: int = 0
    redos: int = 0
    forks: int = 0

    def count(self, batch: Batch) -> None:
        """Count what a batch has but for its runs, which can be in several."""
        branch_points = sum(node.id.startswith(BRANCH_POINT_PREFIX) for node in batch.dag_nodes)
        self.nodes += len(batch.dag_nodes) - branch_points
        self.events += len(batch.execution_events)
        self.messages += len(batch.messages)
        self.cost_records += len(batch.cost_records)
        self.redos += branch_points
        self.forks += sum(branch.kind == "fork" for branch in batch.branches)
