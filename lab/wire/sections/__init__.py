"""What is shown on the wire, a module for each: its ``SECTION`` and its ``show``."""
