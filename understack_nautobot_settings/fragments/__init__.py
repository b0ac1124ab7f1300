"""One pure function a concern: base settings and an environment in, a dict out."""
