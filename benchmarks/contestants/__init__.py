"""Ways of doing the same job: a deployment's environment becomes Nautobot's settings.

Each module has ``configure(namespace)``, as a `nautobot_config.py` would run it. All
but ours read the variables in their own way and assemble the same settings.
"""
