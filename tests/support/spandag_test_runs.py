"""A strategy for Hypothesis that tells whole histories: runs, and what goes wrong with them.

Everything that the store must cope with can be in one: redos within redos, in sub-agents and in tools,
things at once, forks, several processes, spans of other libraries, spans that never come or never end.
They are small, so that many are told, and simple first, so that what fails can be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from spandag_test_plans import (
    CANCELLED,
    COMPLETED,
    FAILED,
    Attempt,
    Draft,
    Mishaps,
    Part,
    Step,
    as_started,
    damage,
    lay_out,
)

from spandag import semconv
from spandag.semconv import LinkType, NodeType, OpenInference, Operation, Outcome

MAX_SPANS = 40

Parts = st.SearchStrategy[Sequence[Part | Step]]

OWN = "spandag.story"
_COLLEAGUES = st.sampled_from(["planner", "engineer"])
AGENTS = st.one_of(_COLLEAGUES, _COLLEAGUES, st.sampled_from(["nul\x00", "lone \ud83d", "␛0000"]))
MODELS = st.sampled_from(["gpt-4o", "gpt-4o-mini", "made-up"])
NOTHING: Parts = st.just(())

_ODD_VALUES = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=4),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.lists(st.floats(), max_size=2).map(tuple),
    st.booleans(),
)
_ODD = st.dictionaries(st.sampled_from(["odd", "nul\x00", "lone \udfff"]), _ODD_VALUES, max_size=2)


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


# Few, so that calls share them.
_MESSAGES = st.lists(
    st.sampled_from(
        [
            _message("user", "plan it"),
            _message("assistant", "done"),
            _message("assistant", "nul\x00 and lone \udfff") | {"finish_reason": "stop"},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": 1e300}]},
        ]
    ),
    min_size=1,
    max_size=3,
)
_CONTENT = st.one_of(
    _MESSAGES.map(json.dumps),
    # As an attribute limit cuts it.
    _MESSAGES.map(lambda messages: json.dumps(messages)[:25]),
    st.sampled_from(["plain", "nul\x00", "", "[]", '"quoted"']),
)
_EVENTS = st.one_of(
    st.builds(
        lambda source, target: (
            semconv.EVENT_HANDOFF,
            {semconv.HANDOFF_FROM: source, semconv.HANDOFF_TO: target},
        ),
        _COLLEAGUES,
        _COLLEAGUES,
    ),
    st.tuples(st.sampled_from([semconv.EVENT_MODEL_SELECTED, "approval", ""]), _ODD),
)


def maybe(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the attributes, named as in `semconv`."""
    return st.fixed_dictionaries(
        {}, optional={getattr(semconv, name): strategy for name, strategy in strategies.items()}
    )


def parts(
    name: st.SearchStrategy[str],
    *attributes: st.SearchStrategy[dict[str, Any]],
    below: Parts = NOTHING,
    scope: str = OWN,
    events: st.SearchStrategy[Sequence[Any]] = NOTHING,
) -> st.SearchStrategy[Part]:
    """A span with all these attributes; starts with, within or after what comes before it."""
    return st.builds(
        Part,
        name=name,
        attributes=st.tuples(*attributes).map(
            lambda several: {k: v for one in several for k, v in one.items()}
        ),
        below=below,
        after=st.integers(0, 4),
        takes=st.integers(0, 6),
        ends=st.sampled_from([*[COMPLETED] * 4, FAILED, CANCELLED]),
        scope=st.just(scope),
        events=events,
    )


def nodes(
    node_types: Sequence[str],
    named_by: str,
    names: st.SearchStrategy[str],
    *more: st.SearchStrategy[dict[str, Any]],
    **options: Any,
) -> st.SearchStrategy[Part]:
    """A node of spandag's own, of one of these types."""
    attributes = st.builds(
        lambda node_type, name: {semconv.SPANDAG_NODE_TYPE: node_type, named_by: name},
        st.sampled_from(node_types),
        names,
    )
    # A processor may put the session on every span.
    session = maybe(SESSION_ID=st.sampled_from(["alice", "bob"]))
    return parts(st.just(node_types[0]), attributes, session, *more, **options)


# --- what is at the bottom -----------------------------------------------------------------------------

_TOKENS = st.integers(0, 100)
USAGE = st.one_of(
    maybe(GEN_AI_USAGE_INPUT_TOKENS=_TOKENS, GEN_AI_USAGE_COST=st.floats(0, 1)),
    st.builds(
        lambda read, written: {
            semconv.GEN_AI_PROVIDER_NAME: "openai",
            semconv.GEN_AI_USAGE_INPUT_TOKENS: read,
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: written,
        },
        _TOKENS,
        _TOKENS,
    ),
)
SAID = maybe(
    GEN_AI_SYSTEM_INSTRUCTIONS=_CONTENT, GEN_AI_INPUT_MESSAGES=_CONTENT, GEN_AI_OUTPUT_MESSAGES=_CONTENT
)
PASSED_ON = maybe(
    SPANDAG_INPUT=_CONTENT,
    SPANDAG_OUTPUT=_CONTENT,
    SPANDAG_MESSAGE_SENDER=AGENTS,
    SPANDAG_MESSAGE_RECIPIENT=AGENTS,
)

http_requests = parts(st.just("POST"), st.just({"http.request.method": "POST"}), _ODD, scope="httpx")


def chats(depth: int, *, at_least: int = 0) -> st.SearchStrategy[Part]:
    """Model calls, some of which call another (a router, another instrumentation's span of the same call)."""
    below = http_requests if depth == 0 else st.one_of(chats(depth - 1), foreign(depth - 1))
    return nodes(
        (NodeType.LLM,),
        semconv.GEN_AI_REQUEST_MODEL,
        MODELS,
        USAGE,
        SAID,
        below=st.lists(below, min_size=at_least, max_size=1),
    )


def foreign(depth: int) -> st.SearchStrategy[Part]:
    """Spans of other instrumentations, in the names of the conventions and of OpenInference."""
    official = st.builds(
        lambda operation, agent, model: {
            semconv.GEN_AI_OPERATION_NAME: operation,
            semconv.GEN_AI_AGENT_NAME: agent,
            semconv.GEN_AI_REQUEST_MODEL: model,
        },
        st.sampled_from(
            [Operation.CHAT, Operation.INVOKE_AGENT, Operation.EXECUTE_TOOL, Operation.INVOKE_WORKFLOW]
        ),
        AGENTS,
        MODELS,
    )
    open_inference = st.builds(
        lambda kind, tokens, said: {
            OpenInference.SPAN_KIND: kind,
            OpenInference.MODEL_NAME: "gpt-4o",
            OpenInference.TOKENS_PROMPT: tokens,
            OpenInference.INPUT_VALUE: said,
            f"{OpenInference.INPUT_MESSAGES}.0.message.role": "user",
            f"{OpenInference.INPUT_MESSAGES}.0.message.content": said,
        },
        st.sampled_from(["LLM", "AGENT", "TOOL", "CHAIN", "GUARDRAIL"]),
        st.integers(0, 9),
        st.sampled_from(["plan it", "nul\x00"]),
    )
    below = st.lists(st.one_of(http_requests, foreign(depth - 1)), max_size=1) if depth > 0 else NOTHING
    return st.one_of(
        parts(st.just("invoke_agent x"), official, USAGE, SAID, below=below, scope="genai.other"),
        parts(st.just("x.run"), open_inference, _ODD, below=below, scope="openinference.other"),
        http_requests,
    )


# --- what has something below it -----------------------------------------------------------------------


def tools(below: Parts) -> st.SearchStrategy[Part]:
    return nodes(
        (NodeType.TOOL, NodeType.CODE),
        semconv.GEN_AI_TOOL_NAME,
        st.sampled_from(["csv", "plot"]),
        maybe(GEN_AI_TOOL_CALL_ARGUMENTS=_CONTENT, GEN_AI_TOOL_CALL_RESULT=_CONTENT),
        below=below,
    )


def agents(below: Parts, names: st.SearchStrategy[str] = AGENTS) -> st.SearchStrategy[Part]:
    return nodes(
        (NodeType.AGENT, NodeType.SUB_AGENT),
        semconv.GEN_AI_AGENT_NAME,
        names,
        PASSED_ON,
        below=below,
        events=st.lists(_EVENTS, max_size=1),
    )


def conversations(below: Parts) -> st.SearchStrategy[Part]:
    """Agents that take turns, and who decides whose turn it is."""

    def turn_goes(between: tuple[str, str]) -> st.SearchStrategy[Sequence[Part]]:
        source, target = between
        handoff = (semconv.EVENT_HANDOFF, {semconv.HANDOFF_FROM: source, semconv.HANDOFF_TO: target})
        decides = nodes(
            (NodeType.HANDOFF,), semconv.GEN_AI_WORKFLOW_NAME, st.just("team"), events=st.just([handoff])
        )
        return st.tuples(agents(below, st.just(source)), decides, agents(NOTHING, st.just(target)))

    turns = st.lists(agents(below), max_size=3)
    handed_over = (
        st.permutations(["planner", "engineer", "critic"]).map(lambda names: names[:2]).flatmap(turn_goes)
    )
    return nodes(
        (NodeType.CONVERSATION,),
        semconv.GEN_AI_WORKFLOW_NAME,
        st.just("team"),
        below=st.one_of(turns, handed_over, handed_over),
    )


def steps(below: Parts, *, at_least: int = 1) -> st.SearchStrategy[Step]:
    """Steps with up to two redos; mostly told as spandag does, and counted right."""
    attempt = nodes(
        (NodeType.STEP,),
        semconv.GEN_AI_STEP_NAME,
        st.sampled_from(["fit", "write"]),
        maybe(
            SPANDAG_ATTEMPT_OUTCOME=st.sampled_from(
                [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.FAILED, Outcome.CANCELLED]
            ),
            SPANDAG_REDO_HYPOTHESIS=st.sampled_from(["in log space", "nul\x00"]),
            SPANDAG_REDO_REQUESTED_BY=AGENTS,
            SPANDAG_REDO_EXHAUSTED=st.just(True),
        ),
        below=below,
    )
    told = st.builds(
        Attempt,
        attempt,
        told=st.sampled_from(["both", "both", "attributes", "link", "number"]),
        slip=st.sampled_from([0, 0, -1]),
        elsewhere=st.sampled_from([False, False, True]),
    )
    return st.builds(Step, st.lists(told, min_size=at_least, max_size=3))


def work(depth: int) -> Parts:
    """What is done within a phase, a step, an agent or a tool."""
    if depth == 0:
        return st.lists(st.one_of(chats(0), http_requests), max_size=2)
    inside = work(depth - 1)
    redone = st.lists(steps(inside, at_least=2), min_size=1, max_size=2)
    either = st.one_of(inside, redone)
    at_once = st.lists(tools(NOTHING), min_size=2, max_size=3)
    calls = st.lists(st.one_of(chats(0), chats(1, at_least=1)), min_size=1, max_size=3)
    one_by_one = st.lists(
        st.one_of(steps(either), agents(either), tools(either), chats(1), conversations(inside), foreign(1)),
        max_size=3,
    )
    return st.one_of(one_by_one, redone, at_once, calls)


# --- what is at the top --------------------------------------------------------------------------------

WHOSE = st.one_of(
    st.just({semconv.SESSION_ID: "alice", semconv.SPANDAG_RUN_TASK: "find the law"}),
    st.just({}),
    maybe(
        GEN_AI_CONVERSATION_ID=st.sampled_from(["alice", "nul\x00"]),
        USER_ID=st.sampled_from(["u1", "u2"]),
        SPANDAG_RUN_TASK=st.just("nul\x00"),
    ),
)

phases = nodes(
    (NodeType.PHASE,), semconv.GEN_AI_STEP_NAME, st.sampled_from(["planning", "control"]), below=work(2)
)


def workflows(depth: int) -> st.SearchStrategy[Part]:
    """Runs, and runs within them."""
    below = [phases, steps(work(2)), agents(work(2)), *([workflows(depth - 1)] if depth else [])]
    return nodes(
        (NodeType.RUN,),
        semconv.GEN_AI_WORKFLOW_NAME,
        st.sampled_from(["report", "lone \ud83d"]),
        WHOSE,
        below=st.lists(st.one_of(below), max_size=3),
    )


web_requests = parts(
    st.just("GET /"),
    st.just({"http.route": "/"}),
    WHOSE,
    below=st.lists(st.one_of(workflows(0), agents(work(1)), foreign(1), chats(0)), max_size=3),
    scope="fastapi",
)
runs: Parts = st.lists(workflows(1), min_size=1, max_size=1)
tops: Parts = st.one_of(
    runs,
    runs,
    st.lists(web_requests, min_size=1, max_size=1),
    st.lists(conversations(work(1)), min_size=1, max_size=1),
    # All that is known of them is below something that this store never sees, or nothing at all.
    work(2).map(list),
)

_PLACES = st.one_of(st.integers(0, 5), st.integers(0, MAX_SPANS))
mishaps = st.builds(
    Mishaps,
    lost=st.frozensets(_PLACES, max_size=3),
    open=st.frozensets(_PLACES, max_size=2),
    strangers=st.frozensets(_PLACES, max_size=3),
    reparented=st.dictionaries(_PLACES, _PLACES, max_size=2),
)


@st.composite
def traces(draw: st.DrawFn, plans: Parts, trace_id: int, limit: int) -> list[Draft]:
    """The spans of one trace before anything went wrong; the top of some is in another store."""
    drafts = lay_out(
        draw(plans),
        trace_id=trace_id,
        limit=limit,
        start=draw(st.integers(1, 3)),
        count_down=draw(st.booleans()),
    )
    if draw(st.sampled_from([False, False, True])):
        for draft in drafts:
            if draft.parent_id is None:
                draft.parent_id, draft.remote = 0xDEF, True
    return drafts


@st.composite
def histories(draw: st.DrawFn) -> list[ReadableSpan]:
    """The spans of one or two traces, each as it was last seen; the second may be a fork of the first."""
    several = draw(st.booleans())
    told = [draw(traces(tops, 0xA, MAX_SPANS // 2 if several else MAX_SPANS))]
    if several:
        told.append(draw(traces(st.one_of(runs, runs, tops), 0xB, MAX_SPANS // 2)))
        if all(told) and draw(st.booleans()):
            _fork(told[1][0], draw(st.sampled_from(told[0])))
    return [draft.span() for drafts in told for draft in damage(drafts, draw(mishaps))]


def _fork(top: Draft, source: Draft) -> None:
    top.link(source, LinkType.FORK_OF)
    top.attributes |= {
        semconv.SPANDAG_FORK_ROOT_RUN_ID: f"{source.trace_id:032x}",
        semconv.SPANDAG_FORK_DEPTH: 1,
    }


# --- how they arrive -----------------------------------------------------------------------------------


class Arrival(NamedTuple):
    """A history and the way in which it comes to a store.

    Attributes:
        spans: Each span once, as it was last seen.
        batches: The same in any order and any split, some of them twice, some also as they had started.
    """

    spans: list[ReadableSpan]
    batches: list[list[ReadableSpan]]


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    """Histories that arrive in every way but all at once."""
    spans = draw(histories().filter(bool))
    some = st.lists(st.sampled_from(spans), max_size=5)
    again = draw(some)
    starts = [as_started(span) for span in draw(some)]
    order = draw(st.permutations(spans + again + starts))
    places = range(1, len(order))
    cuts = sorted(draw(st.frozensets(st.sampled_from(places), min_size=1, max_size=6))) if places else []
    batches = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    return Arrival(spans, batches)
