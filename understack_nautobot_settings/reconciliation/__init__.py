"""What accounts and job queues share: steps of a plan, and two ways to a Nautobot.

`steps` has a step and makes it, `database` and `rest` reach a Nautobot's database and
its REST API, `failures` says why not.
"""
