"""How each kind of server is reached, stage by stage, and what a failure means."""
