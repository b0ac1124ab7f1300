"""What the library promises on the wire, shown against real servers.

Run as ``python -m tests.lab.wire``; see `tests.lab.wire.__main__`.
"""
