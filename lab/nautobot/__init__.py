"""A Nautobot of the lab: deployment, worker, and what runs inside."""
