"""Servers that the lab starts: real ones, and those that misbehave."""
