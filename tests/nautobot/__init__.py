"""Tests of real Nautobot processes on real servers."""
