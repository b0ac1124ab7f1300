"""The environment: which variables there are, and how they are read."""
