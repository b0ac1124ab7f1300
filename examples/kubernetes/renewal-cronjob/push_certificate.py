"""Store a renewed client certificate in Vault: push_certificate.py DIRECTORY KEY.

Reads tls.crt and tls.key of the mounted Secret, and writes them as the field
"password" of the key (KV version 2, mounted at "secret") unless they are there
already. Credentials go to VAULT_ADDR alone, over HTTPS (trusting VAULT_CACERT where
it is set); a redirect is an error. Replace `store` for another secrets provider.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_SECONDS = 30
NOT_FOUND = 404
LARGEST_ANSWER = 1 << 20


class Unredirected(urllib.request.HTTPRedirectHandler):
    """Makes a redirect the error that it is: it would take the token elsewhere."""

    def redirect_request(self, *_arguments):
        """Return no request to follow up with."""
        return


def opener():
    """Return what opens HTTPS addresses of Vault, and nothing else."""
    trusted = ssl.create_default_context(cafile=os.environ.get("VAULT_CACERT"))
    return urllib.request.build_opener(
        Unredirected(), urllib.request.HTTPSHandler(context=trusted)
    )


def call(method, path, body=None, token=None):
    """Return the "data" of Vault's answer, nothing where it has none."""
    address = os.environ["VAULT_ADDR"]
    if not address.startswith("https://"):
        raise SystemExit("VAULT_ADDR has to begin with https://")
    request = urllib.request.Request(
        f"{address}/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Vault-Token": token} if token else {},
    )
    try:
        with opener().open(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read(LARGEST_ANSWER))
    except urllib.error.HTTPError as error:
        if error.code == NOT_FOUND:
            return None
        raise SystemExit(f"Vault answers {method} {path} with {error.code}") from None


def login():
    """Return a token for this ServiceAccount."""
    identity = Path(os.environ.get("IDENTITY_FILE", "/var/run/vault/token"))
    body = {"role": os.environ["VAULT_ROLE"], "jwt": identity.read_text().strip()}
    return call("POST", "auth/kubernetes/login", body)["auth"]["client_token"]


def store(key, text, token):
    """Store the text unless it is there; return whether it was new."""
    there = call("GET", f"secret/data/{key}", token=token)
    if there and (there["data"]["data"] or {}).get("password") == text:
        return False
    call("POST", f"secret/data/{key}", {"data": {"password": text}}, token)
    return True


def main(directory, key):
    """Push the pair, read twice in case a renewal comes between the two files."""
    while True:
        texts = [Path(directory, name).read_text() for name in ("tls.crt", "tls.key")]
        if texts == [Path(directory, n).read_text() for n in ("tls.crt", "tls.key")]:
            break
    new = store(key, "".join(texts), login())
    print(f"{key}: {'stored' if new else 'unchanged'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
