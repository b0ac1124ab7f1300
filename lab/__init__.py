"""The lab: real certificates, servers and Nautobot processes for tests and the demo."""
