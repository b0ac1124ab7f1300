"""API users and tokens of Nautobot, kept equal to mounted secrets.

Rooms: `credentials` reads the secrets, `plan` says what would have to change,
`reconcile` carries it out through a back end and counts, `remote` is the back end
for a Nautobot that is reached over its REST API, `command` holds the arguments and
the exit status that both entrances share.
"""
