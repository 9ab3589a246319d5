"""What the span of a redo or of a fork says of the branch that it is.

Branch point, edge and ``branches`` row follow from that span alone, so that
they exist even where the span that it branches off from never arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from spandag import semconv
from spandag.export.values import MAX_KEY, MAX_VALUE, integer, text_without_secrets
from spandag.semconv import LinkType, NodeType, Outcome
from spandag.store.rows import BRANCH_POINT_PREFIX, Batch, BranchRow, EdgeRow, NodeRow
from spandag.store.text import to_json

_BRANCH_STATUS = {
    Outcome.ACCEPTED: "accepted",
    Outcome.REJECTED: "rejected",
    Outcome.FAILED: "failed",
    Outcome.CANCELLED: "abandoned",
}
# Where a redo ended without saying its outcome.
_STATUS_OF_NODE = {"completed": "accepted", "failed": "failed", "cancelled": "abandoned"}


class Redo(NamedTuple):
    """Which attempt of which step a span is.

    Attributes:
        step_id: Span id of attempt 1, where it is known.
        attempt: From 2.
    """

    step_id: str | None
    attempt: int


def redo_of(span: ReadableSpan, attributes: Mapping[str, Any]) -> Redo | None:
    """Whether a step's span is a redo: by its attempt, or by its link to the attempt before."""
    attempt = integer(attributes.get(semconv.SPANDAG_STEP_ATTEMPT))
    linked = _linked(span, LinkType.REDO_OF)
    if linked is None and (attempt is None or attempt < 2):
        return None
    step_id = text_without_secrets(attributes.get(semconv.SPANDAG_STEP_ID), MAX_KEY)
    context = span.get_span_context()
    if step_id is None or (context is not None and step_id == format(context.span_id, "016x")):
        # A redo is no step of its own.
        step_id = linked
    return Redo(step_id, max(attempt or 2, 2))


def add_redo(batch: Batch, node: NodeRow, redo: Redo, attributes: Mapping[str, Any]) -> None:
    """Add the branch point, the edge that leads to it and the branch of a redo.

    Args:
        batch: Where to.
        node: The redo's own row.
        redo: Which redo it is.
        attributes: The redo's attributes.
    """
    number = redo.attempt - 1
    branch_name = f"redo_{number}"
    branch_point = BRANCH_POINT_PREFIX + node.id
    hypothesis = text_without_secrets(attributes.get(semconv.SPANDAG_REDO_HYPOTHESIS), MAX_VALUE)
    meta = {"branch_name": branch_name, "hypothesis": hypothesis, "source_node_id": redo.step_id}
    batch.dag_nodes.append(
        NodeRow(
            run_id=node.run_id,
            id=branch_point,
            span_id=node.span_id,
            parent_span_id=node.parent_span_id,
            node_type=NodeType.BRANCH_POINT,
            name=branch_name,
            span_name=None,
            agent=None,
            status=node.status,
            step_id=redo.step_id,
            step_number=node.step_number,
            attempt=redo.attempt,
            outcome=node.outcome,
            started_at=node.started_at,
            ended_at=node.ended_at,
            model=None,
            provider=None,
            session_id=None,
            user_id=None,
            error_type=None,
            error_message=None,
            input_preview=None,
            output_preview=None,
            attributes=None,
            meta=to_json(meta),
            scope=node.scope,
            writer_id=node.writer_id,
        )
    )
    # What has only started may not have said everything yet, and an edge stays as it is.
    stated = semconv.SPANDAG_STEP_ID in attributes and semconv.SPANDAG_STEP_ATTEMPT in attributes
    if redo.step_id is not None and (stated or node.ended_at is not None):
        batch.dag_edges.append(
            EdgeRow(node.run_id, redo.step_id, branch_point, "conditional", f"branch_redo_{number}")
        )
    batch.branches.append(
        BranchRow(
            run_id=node.run_id,
            branch_node_id=branch_point,
            kind="redo",
            source_node_id=redo.step_id,
            child_run_id=None,
            number=number,
            branch_name=branch_name,
            hypothesis=hypothesis,
            requested_by=text_without_secrets(attributes.get(semconv.SPANDAG_REDO_REQUESTED_BY)),
            status=_status(node, attributes),
            group_id=None,
            score=None,
            won=None,
            started_at=node.started_at,
            ended_at=node.ended_at,
        )
    )


def fork_of(span: ReadableSpan) -> str | None:
    """Span id of the node that a span goes on from in a run of its own; None where it is no fork."""
    if span.parent is not None and not span.parent.is_remote:
        # A fork is a whole run.
        return None
    return _linked(span, LinkType.FORK_OF)


def add_fork(batch: Batch, node: NodeRow, source_node_id: str, attributes: Mapping[str, Any]) -> None:
    """Add the branch that a run is of an earlier one.

    Args:
        batch: Where to.
        node: The row of the run's root.
        source_node_id: Where it goes on from, in the run that ``span_links`` names.
        attributes: The root's attributes.
    """
    batch.branches.append(
        BranchRow(
            run_id=node.run_id,
            branch_node_id=node.id,
            kind="fork",
            source_node_id=source_node_id,
            child_run_id=node.run_id,
            number=None,
            branch_name=node.name,
            hypothesis=text_without_secrets(attributes.get(semconv.SPANDAG_REDO_HYPOTHESIS), MAX_VALUE),
            requested_by=text_without_secrets(attributes.get(semconv.SPANDAG_REDO_REQUESTED_BY)),
            status=_status(node, attributes),
            group_id=None,
            score=None,
            won=None,
            started_at=node.started_at,
            ended_at=node.ended_at,
        )
    )


def _linked(span: ReadableSpan, link_type: str) -> str | None:
    """Span id that the first link of a type leads to."""
    for link in span.links:
        if (link.attributes or {}).get(semconv.SPANDAG_LINK_TYPE) == link_type:
            return format(link.context.span_id, "016x")
    return None


def _status(node: NodeRow, attributes: Mapping[str, Any]) -> str:
    if node.ended_at is None:
        return "active"
    status = _BRANCH_STATUS.get(node.outcome or "") or _STATUS_OF_NODE.get(node.status, "abandoned")
    # Also where the program goes on with what was rejected: nobody has approved it.
    if status in (Outcome.ACCEPTED, Outcome.REJECTED) and attributes.get(semconv.SPANDAG_REDO_EXHAUSTED):
        return "exhausted"
    return status
