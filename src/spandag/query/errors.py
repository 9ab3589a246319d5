"""What a question can run into."""

from __future__ import annotations


class QueryError(LookupError):
    """There is no such run or node, or more than one. The message is one line and suggests what to ask instead."""
