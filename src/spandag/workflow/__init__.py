"""The user's side: runs, phases, steps with redos, and nodes opened by hand."""
