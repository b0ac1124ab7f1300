"""OpenSSL's verdict on certificate files, without a network.

What is judged are bytes that were read once. Python's ``ssl`` loads certificates
from paths alone, so it gets paths of memory.
"""

import errno
import os
import ssl
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextlib import suppress
from typing import IO
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.certificates import pem

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
SIGNATURE = 7
NOT_YET_VALID = 9
EXPIRED = 10
NO_ISSUER = (2, 18, 19, 20, 21)
NO_ROOT_ABOVE = 2
"""One of `NO_ISSUER`: a trusted CA was found, and it is no root."""
PURPOSE = 26
INVALID_CA = (24, 79)
NAME_MISMATCH = (62, 64)


class NotJudged(OSError):
    """The system does not let OpenSSL be asked, so nothing is known of a file."""


class Verdict(NamedTuple):
    """How OpenSSL took a certificate.

    Attributes:
        leaf: The certificate that a server sees, DER; None when not even loaded.
        error: Why it was refused, None when it was not.
        asked: True where a password was asked for.
        told: What OpenSSL says of a certificate that it accepted, as
            `ssl.SSLSocket.getpeercert` has it; empty where it was refused.
    """

    leaf: bytes | None
    error: Exception | None
    asked: bool
    told: Mapping[str, Any]

    @property
    def reason(self) -> str | None:
        """OpenSSL's name of the error, None where there is none."""
        return getattr(self.error, "reason", None)

    @property
    def verify_code(self) -> int | None:
        """The X509_V_ERR of a certificate that was verified and refused."""
        return getattr(self.error, "verify_code", None)


def present(
    cert: bytes,
    key: bytes,
    key_password: str | None,
    *,
    trust: bytes | None = None,
    strict: bool = False,
    level: int | None = 0,
) -> Verdict:
    """Present a certificate to a server in memory, which demands one.

    In TLS 1.3 the client is through before the server looks at its certificate:
    time enough to tell the server which certificate to trust. Dates are for the
    caller to compare with a clock.

    Args:
        cert: Content of the certificate file.
        key: Content of the key file.
        key_password: Password of the key.
        trust: Content of the CA file that the server trusts. None to send the first
            certificate alone and to trust that: what stands behind it is for the
            server, which has other copies of it, to judge.
        strict: Apply the strict rules of RFC 5280.
        level: OpenSSL's security level; 0 refuses no size of key and no hash, None
            takes the level of this Python, which need not be that of the driver.

    Raises:
        NotJudged: OpenSSL cannot be asked here.
    """
    asked: list[bool] = []

    def password() -> str:
        asked.append(True)
        return key_password or ""

    client = _context(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    server = _context(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    server.num_tickets = 0
    if trust is None:
        server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if strict:
        server.verify_flags |= ssl.VERIFY_X509_STRICT
    for context in (client, server):
        # Whatever versions the system allows for connections.
        context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if level is not None:
            context.set_ciphers(f"DEFAULT@SECLEVEL={level}")
    sent = cert if trust is not None else pem.first_block(cert, pem.CERTIFICATE) or cert
    leaf: bytes | None = None
    error: Exception | None = None
    told: Mapping[str, Any] = {}
    try:
        with _path(cert) as cert_path, _path(key) as key_path, _path(sent) as sent_path:
            # The server shows the same certificate; the client does not mind.
            server.load_cert_chain(cert_path, key_path, password)
            client.load_cert_chain(sent_path, key_path, password)
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
            with _path(trust) as trust_path:
                server.load_verify_locations(cafile=trust_path)
        theirs.do_handshake()
        with suppress(OSError, ValueError):
            # What cannot be told in this form is accepted as well.
            told = theirs.getpeercert() or {}
    except (ssl.SSLError, ValueError) as refusal:
        # The frames of a traceback would hold the key.
        error = refusal.with_traceback(None)
    return Verdict(leaf, error, bool(asked), told)


def end_of(told: Mapping[str, Any], which: str = "notAfter") -> float | None:
    """Return when a certificate ends, or begins, in seconds since the epoch.

    None where that is unknown: Python reads no fractions of a second.
    """
    try:
        return ssl.cert_time_to_seconds(told[which])
    except (KeyError, ValueError):
        return None


def is_valid(told: Mapping[str, Any], now: float) -> bool:
    """Tell whether a certificate is known to be valid; its last second is outside."""
    begin, end = end_of(told, "notBefore"), end_of(told)
    return begin is not None and end is not None and begin <= now < end


def trusting(content: bytes) -> ssl.SSLContext | None:
    """Return a context that trusts what is in a file, None where it is unreadable.

    Raises `NotJudged` where OpenSSL cannot be asked here.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    try:
        with _path(content) as path:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        return None
    return context if context.cert_store_stats()["x509"] else None


def authorities(context: ssl.SSLContext) -> list[dict[str, Any]]:
    """Return what OpenSSL says of the CAs that a context trusts, as of ``told``."""
    with suppress(OSError, ValueError):
        return context.get_ca_certs()
    # One of them has a form that cannot be told.
    return []


def reason_words(error: Exception | None) -> str:
    """Return OpenSSL's reason, which never holds content of a file."""
    words = getattr(error, "verify_message", None) or getattr(error, "reason", None)
    text = str(words or "no reason given")
    return text.replace("_", " ").lower() if text.isupper() else text


def _context(protocol: int) -> ssl.SSLContext:
    """Return a new context.

    Raises `NotJudged` where OpenSSL has no algorithms, as with another configuration.
    """
    try:
        return ssl.SSLContext(protocol)
    except ssl.SSLError as failure:
        raise NotJudged(reason_words(failure)) from None


@contextmanager
def _path(content: bytes) -> Iterator[str]:
    """Yield the path of a file that exists in memory alone.

    Raises `NotJudged` where the system refuses it, or does not let it be loaded.
    """
    try:
        with _memory() as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    except (ssl.SSLError, NotJudged):
        raise
    except OSError as failure:
        raise NotJudged(failure.strerror or "no reason given") from None


def _memory() -> IO[bytes]:
    try:
        return os.fdopen(os.memfd_create("certificates"), "w+b")
    except OSError as refusal:
        if refusal.errno == errno.EMFILE:
            raise
    # A sandbox without the call: a file that has no name, and so no other readers.
    import tempfile

    return tempfile.TemporaryFile()
