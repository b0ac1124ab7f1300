"""The documentation as readers see it: built, linked, opened in a browser."""
