"""What the library promises on the wire, shown against real servers.

Run as ``python -m lab.wire``; see `lab.wire.__main__`.
"""
