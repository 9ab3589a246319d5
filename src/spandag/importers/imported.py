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

    def count(self, batch: Batch, seen: set[int]) -> None:
        """Count what a batch has but for its runs, each row once however often it comes.

        Args:
            batch: What was written.
            seen: What had been counted before; grows.
        """

        def is_new(kind: str, key: tuple[object, ...]) -> bool:
            # A number rather than the key itself: of a run of 100,000 nodes there are many.
            known = hash((kind, key))
            if known in seen:
                return False
            seen.add(known)
            return True

        nodes = [node for node in batch.dag_nodes if is_new("node", node[:2])]
        branch_points = sum(node.id.startswith(BRANCH_POINT_PREFIX) for node in nodes)
        self.nodes += len(nodes) - branch_points
        self.redos += branch_points
        self.events += sum(is_new("event", event[:3]) for event in batch.execution_events)
        self.messages += sum(is_new("message", key) for key in batch.messages)
        self.cost_records += sum(is_new("cost", cost[:2]) for cost in batch.cost_records)
        self.forks += sum(branch.kind == "fork" and is_new("branch", branch[:2]) for branch in batch.branches)
