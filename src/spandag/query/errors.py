"""What a question can run into."""

from __future__ import annotations


class QueryError(LookupError):
    """There is no such run or node, or more than one, or a question makes no sense.

    The message is one line and suggests what to ask instead.
    """


class AmbiguousError(QueryError):
    """More than one run, node or step is meant; the message names the first few."""
