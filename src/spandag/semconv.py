"""Every attribute, span, event and link name that spandag writes or reads.

This is the only module that spells them. The GenAI names follow the
OpenTelemetry semantic conventions for generative AI at their newest published
form; `opentelemetry-semantic-conventions` froze its constants at 1.41 and
deprecated them, so the strings are kept here. What has no convention yet lives
under ``spandag.*``.
"""

from __future__ import annotations

from typing import Final

# --- OpenTelemetry: GenAI ----------------------------------------------------

GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_WORKFLOW_NAME: Final = "gen_ai.workflow.name"
GEN_AI_STEP_NAME: Final = "gen_ai.step.name"  # proposed, semantic-conventions-genai#188

GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_AGENT_DESCRIPTION: Final = "gen_ai.agent.description"

GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P: Final = "gen_ai.request.top_p"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_SEED: Final = "gen_ai.request.seed"
GEN_AI_REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
GEN_AI_REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
GEN_AI_REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
GEN_AI_REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_OUTPUT_TYPE: Final = "gen_ai.output.type"

GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"

GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
# Cost has no merged convention (semantic-conventions-genai#443 is open). These
# two are what backends read today: Langfuse and Grafana the first, Logfire the second.
GEN_AI_USAGE_COST: Final = "gen_ai.usage.cost"
OPERATION_COST: Final = "operation.cost"

GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
GEN_AI_SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"

GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE: Final = "gen_ai.tool.type"
GEN_AI_TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
GEN_AI_TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
GEN_AI_TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"

# Names that other instrumentations still write and the store understands.
GEN_AI_SYSTEM: Final = "gen_ai.system"
GEN_AI_PROMPT: Final = "gen_ai.prompt"
GEN_AI_COMPLETION: Final = "gen_ai.completion"
GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"

OLDER_NAMES: Final[dict[str, tuple[str, ...]]] = {
    GEN_AI_PROVIDER_NAME: (GEN_AI_SYSTEM,),
    GEN_AI_USAGE_INPUT_TOKENS: ("gen_ai.usage.prompt_tokens",),
    GEN_AI_USAGE_OUTPUT_TOKENS: ("gen_ai.usage.completion_tokens",),
    GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: ("gen_ai.usage.cache_read_input_tokens",),
    GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: (
        GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
        "gen_ai.usage.cache_creation_input_tokens",
    ),
    GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: (
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.thinking_tokens",
        "llm.usage.reasoning_tokens",
    ),
}
"""What a name was called before, or is called by an instrumentation of its own mind."""

# --- OpenTelemetry: general --------------------------------------------------

ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SERVICE_NAME: Final = "service.name"
SESSION_ID: Final = "session.id"
USER_ID: Final = "user.id"
PROCESS_EXECUTABLE_NAME: Final = "process.executable.name"
PROCESS_COMMAND_ARGS: Final = "process.command_args"
PROCESS_EXIT_CODE: Final = "process.exit.code"
PROCESS_PID: Final = "process.pid"


class Operation:
    """Values of ``gen_ai.operation.name``."""

    CHAT: Final = "chat"
    INVOKE_AGENT: Final = "invoke_agent"
    INVOKE_WORKFLOW: Final = "invoke_workflow"
    EXECUTE_TOOL: Final = "execute_tool"
    PLAN: Final = "plan"
    RUN_STEP: Final = "run_step"  # proposed, semantic-conventions-genai#188
    SELECT_SPEAKER: Final = "select_speaker"  # custom value, as the convention allows
    HUMAN_INPUT: Final = "human_input"  # custom value, as the convention allows
    # Only read: other instrumentations write them.
    TEXT_COMPLETION: Final = "text_completion"
    GENERATE_CONTENT: Final = "generate_content"
    CREATE_AGENT: Final = "create_agent"
    EMBEDDINGS: Final = "embeddings"
    RETRIEVAL: Final = "retrieval"


# --- spandag: nodes ----------------------------------------------------------

SPANDAG_NODE_TYPE: Final = "spandag.node.type"
# True where a span is written out before it has ended: its end is no end, only as far as is known.
SPANDAG_UNFINISHED: Final = "spandag.unfinished"


class NodeType:
    """Values of ``spandag.node.type``, which are also ``dag_nodes.node_type``."""

    RUN: Final = "run"
    PHASE: Final = "phase"
    STEP: Final = "step"
    ITERATION: Final = "iteration"
    PLANNING: Final = "planning"
    AGENT: Final = "agent"
    SUB_AGENT: Final = "sub_agent"
    LLM: Final = "llm"
    TOOL: Final = "tool"
    CODE: Final = "code"
    CONVERSATION: Final = "conversation"
    HANDOFF: Final = "handoff"
    APPROVAL: Final = "approval"
    # Only in the store: what the projection makes of a redo and of foreign spans.
    BRANCH_POINT: Final = "branch_point"
    SPAN: Final = "span"


NODE_TYPES: Final = tuple(value for name, value in vars(NodeType).items() if name.isupper())
"""The types of nodes that there are."""


SPANDAG_RUN_TASK: Final = "spandag.run.task"
SPANDAG_INPUT: Final = "spandag.input"
SPANDAG_OUTPUT: Final = "spandag.output"
# Of the message that goes in; the one that comes out goes the other way.
SPANDAG_MESSAGE_SENDER: Final = "spandag.message.sender"
SPANDAG_MESSAGE_RECIPIENT: Final = "spandag.message.recipient"
SPANDAG_ITERATION_NUMBER: Final = "spandag.iteration.number"
SPANDAG_PRICE_SOURCE: Final = "spandag.price.source"
# True where the framework answered from a cache of its own: no call, no tokens, no cost.
SPANDAG_RESPONSE_CACHED: Final = "spandag.response.cached"

# --- spandag: steps, attempts, redos -----------------------------------------

SPANDAG_STEP_ID: Final = "spandag.step.id"
SPANDAG_STEP_NUMBER: Final = "spandag.step.number"
SPANDAG_STEP_ATTEMPT: Final = "spandag.step.attempt"
SPANDAG_STEP_MAX_REDOS: Final = "spandag.step.max_redos"
SPANDAG_REDO_HYPOTHESIS: Final = "spandag.redo.hypothesis"
SPANDAG_REDO_REQUESTED_BY: Final = "spandag.redo.requested_by"
# Beside the outcome `accepted`: the program goes on with a result that was rejected.
SPANDAG_REDO_EXHAUSTED: Final = "spandag.redo.exhausted"
SPANDAG_ATTEMPT_OUTCOME: Final = "spandag.attempt.outcome"


class Outcome:
    """Values of ``spandag.attempt.outcome``."""

    ACCEPTED: Final = "accepted"
    REJECTED: Final = "rejected"
    FAILED: Final = "failed"
    CANCELLED: Final = "cancelled"


OUTCOMES: Final = tuple(value for name, value in vars(Outcome).items() if name.isupper())
"""The outcomes that an attempt can have."""

SPANDAG_LINK_TYPE: Final = "spandag.link.type"


class LinkType:
    """Values of ``spandag.link.type``."""

    REDO_OF: Final = "redo_of"
    FORK_OF: Final = "fork_of"
    STARTED_BY: Final = "started_by"


# On the root of a run that goes on from a node of an earlier one, beside the link to that node.
SPANDAG_FORK_ROOT_RUN_ID: Final = "spandag.fork.root_run_id"
SPANDAG_FORK_DEPTH: Final = "spandag.fork.depth"

# --- spandag: people who are asked -------------------------------------------

SPANDAG_APPROVAL_CHOICES: Final = "spandag.approval.choices"
SPANDAG_APPROVAL_CHOICE: Final = "spandag.approval.choice"
SPANDAG_APPROVAL_FEEDBACK: Final = "spandag.approval.feedback"
# Seconds from the question to the answer, or to its cancellation.
SPANDAG_APPROVAL_WAITED: Final = "spandag.approval.waited"

# --- spandag: what was spent below a node, in this process -------------------

SPANDAG_TOTAL_INPUT_TOKENS: Final = "spandag.total.input_tokens"
SPANDAG_TOTAL_OUTPUT_TOKENS: Final = "spandag.total.output_tokens"
SPANDAG_TOTAL_COST: Final = "spandag.total.cost"
SPANDAG_TOTAL_UNPRICED_CALLS: Final = "spandag.total.unpriced_calls"

# --- spandag: events ---------------------------------------------------------

EVENT_HANDOFF: Final = "handoff"
HANDOFF_FROM: Final = "spandag.handoff.from"
HANDOFF_TO: Final = "spandag.handoff.to"
HANDOFF_REASON: Final = "spandag.handoff.reason"
EVENT_REJECTED: Final = "rejected"
# Each of several rejections of one attempt, beside the `rejected` event that joins them.
EVENT_REVIEW: Final = "review"
EVENT_APPROVAL: Final = "approval"
# What failed technically inside an attempt is tried again: no redo.
EVENT_RETRY: Final = "retry"
SPANDAG_RETRY_NUMBER: Final = "spandag.retry.number"
# One of the calls inside a logical model call that did not give its answer.
EVENT_ATTEMPT_FAILED: Final = "attempt_failed"
EVENT_MODEL_SELECTED: Final = "model_selected"
EVENT_MODEL_SWITCHED: Final = "model_switched"

# --- AG2's own names, kept so that its evaluation tools can read our spans ---

AG2_SPEAKER_CANDIDATES: Final = "ag2.speaker_selection.candidates"
AG2_SPEAKER_SELECTED: Final = "ag2.speaker_selection.selected"

# --- CMBAgent: what an import keeps of its rows beside what has a name here -----

CMBAGENT_PREFIX: Final = "cmbagent."
CMBAGENT_ID: Final = "cmbagent.id"
CMBAGENT_DEPENDS_ON: Final = "cmbagent.depends_on"

# --- AG2's own names, only read: `autogen.opentelemetry` and `TelemetryMiddleware` write them ---

AG2_SPAN_TYPE: Final = "ag2.span.type"
AG2_CODE_OUTPUT: Final = "ag2.code_execution.output"
AG2_HUMAN_INPUT_PROMPT: Final = "ag2.human_input.prompt"
AG2_HUMAN_INPUT_RESPONSE: Final = "ag2.human_input.response"
AG2_CHATS_SUMMARIES: Final = "ag2.chats.summaries"


class OpenInference:
    """Names of OpenInference, only read. Lists are flattened: ``llm.input_messages.0.message.role``."""

    SPAN_KIND: Final = "openinference.span.kind"
    INPUT_VALUE: Final = "input.value"
    OUTPUT_VALUE: Final = "output.value"
    AGENT_NAME: Final = "agent.name"
    MODEL_NAME: Final = "llm.model_name"
    REQUEST_MODEL_NAME: Final = "llm.request.model_name"
    RESPONSE_MODEL_NAME: Final = "llm.response.model_name"
    PROVIDER: Final = "llm.provider"
    SYSTEM: Final = "llm.system"
    TOKENS_PROMPT: Final = "llm.token_count.prompt"
    TOKENS_COMPLETION: Final = "llm.token_count.completion"
    TOKENS_CACHE_READ: Final = "llm.token_count.prompt_details.cache_read"
    TOKENS_CACHE_INPUT: Final = "llm.token_count.prompt_details.cache_input"
    TOKENS_CACHE_WRITE: Final = "llm.token_count.prompt_details.cache_write"
    TOKENS_REASONING: Final = "llm.token_count.completion_details.reasoning"
    COST_TOTAL: Final = "llm.cost.total"
    COST_PROMPT: Final = "llm.cost.prompt"
    COST_COMPLETION: Final = "llm.cost.completion"
    FINISH_REASON: Final = "llm.finish_reason"
    INPUT_MESSAGES: Final = "llm.input_messages"
    OUTPUT_MESSAGES: Final = "llm.output_messages"
    PROMPTS: Final = "llm.prompts"
    CHOICES: Final = "llm.choices"
    TOOLS: Final = "llm.tools"
    TOOL_NAME: Final = "tool.name"
    TOOL_ID: Final = "tool.id"
    TOOL_DESCRIPTION: Final = "tool.description"
    EMBEDDING_MODEL_NAME: Final = "embedding.model_name"
    EMBEDDINGS: Final = "embedding.embeddings"
    RERANKER_MODEL_NAME: Final = "reranker.model_name"
    RERANKER_QUERY: Final = "reranker.query"
    RERANKER_INPUT_DOCUMENTS: Final = "reranker.input_documents"
    RERANKER_OUTPUT_DOCUMENTS: Final = "reranker.output_documents"
    RETRIEVAL_DOCUMENTS: Final = "retrieval.documents"
    DECISION_MODEL_NAME: Final = "decision.model_name"
    DECISION_PROVIDER: Final = "decision.provider"
    DECISION_TOKENS_INPUT: Final = "decision.token_count.input"
    DECISION_TOKENS_OUTPUT: Final = "decision.token_count.output"


class Traceloop:
    """Names of OpenLLMetry, only read."""

    SPAN_KIND: Final = "traceloop.span.kind"
    ENTITY_NAME: Final = "traceloop.entity.name"
    ENTITY_INPUT: Final = "traceloop.entity.input"
    ENTITY_OUTPUT: Final = "traceloop.entity.output"
    REQUEST_TYPE: Final = "llm.request.type"


class Langfuse:
    """Names of Langfuse, only read; its details are JSON."""

    TYPE: Final = "langfuse.observation.type"
    MODEL_NAME: Final = "langfuse.observation.model.name"
    USAGE_DETAILS: Final = "langfuse.observation.usage_details"
    COST_DETAILS: Final = "langfuse.observation.cost_details"
    INPUT: Final = "langfuse.observation.input"
    OUTPUT: Final = "langfuse.observation.output"


OWN_ATTRIBUTES: Final = frozenset(
    value for name, value in list(vars().items()) if name.isupper() and isinstance(value, str)
)
"""Every attribute that spandag itself writes (and some that it only reads)."""

CONTENT_ATTRIBUTES: Final[dict[str, str]] = {
    GEN_AI_SYSTEM_INSTRUCTIONS: "system",
    GEN_AI_INPUT_MESSAGES: "input",
    GEN_AI_TOOL_CALL_ARGUMENTS: "input",
    SPANDAG_INPUT: "input",
    GEN_AI_OUTPUT_MESSAGES: "output",
    GEN_AI_TOOL_CALL_RESULT: "output",
    SPANDAG_OUTPUT: "output",
    GEN_AI_TOOL_DEFINITIONS: "tools",
}
"""Attributes that carry content, and the direction under which the store keeps it."""
