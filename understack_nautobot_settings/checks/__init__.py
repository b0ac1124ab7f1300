"""All problems, offline."""
