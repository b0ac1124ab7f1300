"""What can be wrong with a Nautobot that is reached over its REST API."""

from understack_nautobot_settings.problems import Code

NAUTOBOT_UNUSABLE = Code(
    "nautobot-unusable",
    "The URL is not HTTPS, the server is not trusted, it does not accept the token, or "
    "its answer is not that of Nautobot's REST API: a redirect, a next page on another "
    "server, too large, or of another form.",
    "Correct `--url` and `--ca-file`, or the proxy in front of Nautobot.",
)
