"""Certificates, keys and CA files: reading them and judging them."""
