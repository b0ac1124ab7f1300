"""What can be wrong with a Nautobot that is reached over its REST API."""

from understack_nautobot_settings.problems import Code

NAUTOBOT_UNUSABLE = Code(
    "nautobot-unusable",
    "The URL is not HTTPS, the server is not trusted, it does not accept the token, or "
    "the answer is not from Nautobot: a redirect, a page on another server, too large, "
    "of another form.",
    "Correct `--url` and `--ca-file`, or the proxy in front of Nautobot.",
)
