"""Why a file with wanted queues cannot be used."""


class Malformed(Exception):
    """The file does not have the form; says where and why."""
