"""Taking over what other programs recorded."""
