"""Tests: one module per module; `live` for real servers, `e2e` for real Nautobot."""
