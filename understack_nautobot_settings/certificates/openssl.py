"""OpenSSL's verdict on certificate files, without a network."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING
from typing import NamedTuple

if TYPE_CHECKING:
    import ssl


# X509_V_ERR_* of OpenSSL's x509_vfy.h.
NOT_YET_VALID = 9
EXPIRED = 10
NO_ISSUER = (2, 18, 19, 20, 21)
PURPOSE = 26


_MOST_ACCEPTED = 16


class Presented(NamedTuple):
    """How OpenSSL took a certificate.

    Attributes:
        leaf: The certificate that a server sees, DER; None when not even loaded.
        error: Why it was refused, None when it was not.
        asked: True where a password was asked for.
    """

    leaf: bytes | None
    error: Exception | None
    asked: bool = False


_accepted: dict[tuple[object, ...], Presented] = {}


def identity(path: str) -> tuple[int, ...] | None:
    """Return what tells a file from the one that takes its place, None for none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def present(
    cert: str,
    key: str,
    key_password: str | None,
    *,
    trust: str | None = None,
    strict: bool = False,
) -> Presented:
    """Present a certificate to a server in memory, which demands one.

    What is accepted is remembered while the files stay the same: PostgreSQL and
    Redis are usually given one and the same certificate. A certificate that expires
    meanwhile is still remembered as accepted; dates are the caller's to compare.

    In TLS 1.3 the client is through before the server looks at its certificate:
    time enough to tell the server which certificate to trust.

    Args:
        cert: Path of the certificate.
        key: Path of its key.
        key_password: Password of the key.
        trust: Path of the CAs that the server trusts; None to trust the certificate
            itself and judge nothing but it.
        strict: Apply the strict rules of RFC 5280.
    """
    question = _question(cert, key, trust, strict=strict)
    if not key_password:
        known = _accepted.get(question)
        if known is not None:
            return known
    presented = _presented(cert, key, key_password, trust, strict=strict)
    accepted = presented.error is None and not key_password
    # An answer about files that were swapped meanwhile is an answer to nothing.
    if accepted and question == _question(cert, key, trust, strict=strict):
        if len(_accepted) >= _MOST_ACCEPTED:
            _accepted.clear()
        _accepted[question] = presented
        # Who passes under CAs, strictly, passes on his own and leniently as well.
        _accepted[_question(cert, key, trust, strict=False)] = presented
        _accepted[_question(cert, key, None, strict=False)] = presented
    return presented


def _question(
    cert: str, key: str, trust: str | None, *, strict: bool
) -> tuple[object, ...]:
    """Return what the answer depends on: files by identity, and how they are seen."""
    paths = [cert, key] if trust is None else [cert, key, trust]
    return tuple(map(identity, paths)), trust is None, strict


def _presented(
    cert: str,
    key: str,
    key_password: str | None,
    trust: str | None,
    *,
    strict: bool,
) -> Presented:
    import ssl

    asked: list[bool] = []

    def password() -> str:
        asked.append(True)
        return key_password or ""

    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    server.num_tickets = 0
    if trust is None:
        server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if strict:
        server.verify_flags |= ssl.VERIFY_X509_STRICT
    leaf: bytes | None = None
    try:
        for context in (client, server):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.maximum_version = ssl.TLSVersion.TLSv1_3
            # The server shows the same certificate; the client does not mind.
            context.load_cert_chain(cert, key, password)
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = client.wrap_bio(to_client, to_server)
        theirs = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (ours, theirs):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        ours.do_handshake()
        leaf = ours.getpeercert(binary_form=True)
        if trust is None:
            server.load_verify_locations(cadata=leaf)
        else:
            server.load_verify_locations(cafile=trust)
        theirs.do_handshake()
    except (OSError, ValueError) as error:
        return Presented(leaf, error, bool(asked))
    return Presented(leaf, None, bool(asked))


def trusting(path: str) -> ssl.SSLContext | None:
    """Return a context that trusts what is in a file, None where it is unreadable."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except OSError:
        return None
    return context if certificate_count(context) else None


def certificate_count(context: ssl.SSLContext) -> int:
    """Return how many certificates a context trusts."""
    return context.cert_store_stats()["x509"]


def reason_words(error: Exception | None) -> str:
    """Return OpenSSL's reason, which never holds content of a file."""
    words = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    text = str(words or "no reason given")
    return text.replace("_", " ") if text.isupper() else text
