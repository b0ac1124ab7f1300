"""API users and tokens of Nautobot, kept equal to mounted secrets.

`credentials` reads the secrets, `plan` says what would have to change, `reconcile`
carries it out and counts, `records` and `remote` reach a Nautobot's database and its
REST API.
"""
