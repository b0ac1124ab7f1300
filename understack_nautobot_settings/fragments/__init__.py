"""One pure function a concern: base settings and an environment in, a dict out.

Each takes the settings module as a mapping, which it does not change, and the
environment. Where it is given a list of ``problems`` it adds to it and goes on; without
one it raises a `SettingsError`, and warns with a `SettingsWarning`.
"""
