"""How a client of ours speaks TLS, and what the two sides have against each other.

The result of the verification is a code of OpenSSL, and what a server refuses is the
name of an alert; no text is interpreted.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from typing import NamedTuple

from understack_nautobot_settings.certificates import openssl
from understack_nautobot_settings.certificates.codes import CA_NOT_FOR_SERVERS
from understack_nautobot_settings.certificates.codes import CERTIFICATE_NOT_YET_VALID
from understack_nautobot_settings.certificates.files import POSTGRESQL
from understack_nautobot_settings.certificates.files import REDIS
from understack_nautobot_settings.certificates.files import CertificateFile
from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import describe_certificates
from understack_nautobot_settings.certificates.judging import check_certificates
from understack_nautobot_settings.certificates.lint import inspect_certificates
from understack_nautobot_settings.certificates.reading import Certificate
from understack_nautobot_settings.certificates.reading import read_certificate
from understack_nautobot_settings.certificates.reading import utc
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.libpq import SYSTEM_TRUST
from understack_nautobot_settings.probes import codes
from understack_nautobot_settings.probes.attempt import Failed
from understack_nautobot_settings.probes.network import Endpoint
from understack_nautobot_settings.probes.network import listed
from understack_nautobot_settings.problems import TLS_SURROUNDINGS
from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import Problem

ALPN = "postgresql"
"""The protocol that PostgreSQL 17 and later choose, and nobody else."""

_REDIS_MTLS = variables.REDIS_MTLS.name
_SHOWN_NAMES = 6
# Where the servers of the examples are told whom they trust.
CLIENT_CA = {
    POSTGRESQL: " (CloudNativePG: clientCASecret together with replicationTLSSecret)",
    REDIS: " (ca.crt of the secret in redis.tls.existingSecret)",
}
_MOUNT = "Mount the secret nautobot-mtls-client"
_TURN_ON = {
    POSTGRESQL: f"{_MOUNT}, and set {variables.DB_SSLMODE.name}=verify-full.",
    REDIS: f"{_MOUNT}, and unset {_REDIS_MTLS} if it is off.",
}
_OTHER_KIND = (
    "Issue it with a key and a signature of a kind that the server accepts: a client "
    "does not send any other."
)
_IP_ADDRESSES = (
    "Use one of its names as host, or add the address to the ipAddresses of the "
    "server's Certificate."
)
_UNSET = CertificateFile("", "")

_EXPIRED = "SSLV3_ALERT_CERTIFICATE_EXPIRED"
_REVOKED = "SSLV3_ALERT_CERTIFICATE_REVOKED"
_NO_LIST = ", such as a missing revocation list (CRL) of that CA"
_REQUIRED = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
# TLS 1.2 says the first of these also where no cipher is common to both sides.
_FAILURE = "SSLV3_ALERT_HANDSHAKE_FAILURE"
_REQUIRED_BY_TLS_1_2 = (_FAILURE, "SSLV3_ALERT_BAD_CERTIFICATE")
_NEW_ONE = "It is in the server's revocation list (CRL). Issue a new certificate."
_CLIENT_REFUSED = (
    f"{_EXPIRED}|{_REVOKED}|SSLV3_ALERT_CERTIFICATE_UNKNOWN|"
    "SSLV3_ALERT_(BAD|UNSUPPORTED)_CERTIFICATE|TLSV1_ALERT_(DECRYPT_ERROR|ACCESS_DENIED)"
)


class Tls(NamedTuple):
    """How a client of ours speaks TLS.

    Attributes:
        cert: The client certificate; each file has an empty path where it is unset.
        key: Its private key.
        ca: The CAs that are trusted; unset or ``system`` for the system's.
        verify: Whether the server certificate is verified.
        check_hostname: Whether it has to carry the host's name.
        driver_judges: Whether the driver has the last word (libpq): names are left to
            it, and no suite or key is refused that it may take. Otherwise Python's
            own rules apply, as in redis-py.
        names_host: Whether the ClientHello names the host (SNI).
        protocol: What ALPN offers, None for nothing.
        key_password: Password of the key, empty for none.
    """

    cert: CertificateFile
    key: CertificateFile
    ca: CertificateFile
    verify: bool
    check_hostname: bool
    driver_judges: bool = False
    names_host: bool = True
    protocol: str | None = None
    key_password: str = ""

    @property
    def ca_path(self) -> str | None:
        """Path of the CAs that are trusted, None for the system's."""
        return None if self.ca.path in ("", SYSTEM_TRUST) else self.ca.path

    @property
    def anonymous(self) -> Tls:
        """The same, but nothing is presented and nobody verified."""
        return self._replace(cert=_UNSET, verify=False)

    def context(self) -> ssl.SSLContext:
        """Return the context; raises ``OSError`` where a file cannot be loaded."""
        ca_path = self.ca_path if self.verify else None
        if self.driver_judges:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            if ca_path:
                context.load_verify_locations(ca_path)
            elif self.verify:
                context.load_default_certs()
        else:
            context = ssl.create_default_context(cafile=ca_path)
        context.check_hostname = (
            self.verify and self.check_hostname and not self.driver_judges
        )
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
        if self.cert.path:
            # Without any password, OpenSSL asks the terminal for one.
            context.load_cert_chain(
                self.cert.path, self.key.path or None, self.key_password
            )
        if self.protocol:
            context.set_alpn_protocols([self.protocol])
        return context

    def files(self, use: str) -> ClientFiles:
        """Return the files that are set."""
        cert, key = (one if one.path else None for one in (self.cert, self.key))
        return ClientFiles(use, cert, key, self.ca if self.ca_path else None)

    @property
    def own_chain(self) -> list[Certificate]:
        """The certificate that is presented, and what is sent along with it."""
        return describe_certificates(self.files("")._replace(key=None, ca=None))

    @property
    def own_certificate(self) -> Certificate | None:
        """The certificate that is presented, None where there is none."""
        return next(iter(self.own_chain), None)


NO_TLS = Tls(
    _UNSET, _UNSET, _UNSET, verify=False, check_hostname=False, driver_judges=True
)


def symptom_of(error: OSError) -> str:
    """Return what an error is, without the moment's details."""
    # "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)": Python has no name.
    unnamed = re.match(r"\[SSL\] (.+) \(_ssl\.c", error.strerror or "")
    named = unnamed[1].replace(" ", "_").upper() if unnamed else None
    return str(named or getattr(error, "reason", None) or type(error).__name__)


def _of_certificate(
    code: Code, endpoint: Endpoint, fact: str, hint: str | None = None
) -> Problem:
    return code.problem(
        endpoint.variable, f"the certificate of {endpoint.place}{fact}.", hint
    )


def server_problem(
    refusal: ssl.SSLCertVerificationError,
    seen: Certificate | None,
    tls: Tls,
    endpoint: Endpoint,
) -> Problem:
    """Return why OpenSSL does not accept the certificate of a server."""
    code = refusal.verify_code
    subject = f" ({seen.subject})" if seen else ""
    if code in openssl.NAME_MISMATCH:
        return name_problem(seen, endpoint)
    if code in openssl.NO_ISSUER:
        return _issuer_problem(code, seen, tls, endpoint)
    if code == openssl.EXPIRED and seen is not None and not seen.is_expired:
        return codes.PROBE_SERVER_EXPIRED.problem(
            tls.ca.variable,
            f"a CA of the certificate of {endpoint.place} is expired.",
            f"Put the current CA into {tls.ca.path}, or renew it at {endpoint.server}.",
        )
    if code == openssl.PURPOSE and (seen is None or seen.is_for("server auth")):
        # A CA of ours may exclude servers.
        files = tls.files(endpoint.server)._replace(cert=None, key=None)
        for one in inspect_certificates(files):
            if one.code == CA_NOT_FOR_SERVERS.id:
                return codes.PROBE_SERVER_PURPOSE.problem(
                    tls.ca.variable,
                    f"{one.message} Therefore the certificate of {endpoint.place}"
                    f"{subject} is not accepted.",
                    one.hint,
                )
    words = f"{refusal.verify_message.lower()} (OpenSSL {code})"
    kind, fact = codes.PROBE_SERVER_UNVERIFIED, f"{subject} is not accepted: {words}"
    if code == openssl.EXPIRED:
        since = f" on {utc(seen.not_after)}" if seen else ""
        kind, fact = codes.PROBE_SERVER_EXPIRED, f" expired{since}"
    elif code == openssl.NOT_YET_VALID:
        until = f" before {utc(seen.not_before)}" if seen else " yet"
        kind, fact = codes.PROBE_SERVER_NOT_YET_VALID, f" is not valid{until}"
    elif code == openssl.PURPOSE:
        kind, fact = codes.PROBE_SERVER_PURPOSE, f"{subject} is not for servers"
    return _of_certificate(kind, endpoint, fact)


def _issuer_problem(
    code: int, seen: Certificate | None, tls: Tls, endpoint: Endpoint
) -> Problem:
    """Return which CA is missing on this side."""
    subject = f" ({seen.subject})" if seen else ""
    issuer = f" It was issued by {seen.issuer}." if seen else ""
    path, variable = tls.ca_path, tls.ca.variable
    there = f"into {path}" if path else f"into a file, and set {variable}"
    if not path and endpoint.server == REDIS:
        there = f"into a file, set {variable} to it and unset {_REDIS_MTLS}"
    if code == openssl.NO_ROOT_ABOVE:
        return codes.PROBE_SERVER_CA.problem(
            variable,
            f"the certificate of {endpoint.place}{subject} leads to a CA in "
            f"{path or 'the system store'} that is no root, and the CA above it is "
            "missing.",
            f"Put the CA above it {there}, or its own self-signed certificate in "
            "its place.",
        )
    return codes.PROBE_SERVER_CA.problem(
        variable,
        f"no CA in {path or 'the system store'} issued the certificate of "
        f"{endpoint.place}{subject}.{issuer}",
        f"Put the CA that signed the certificate of {endpoint.server} {there}, or "
        "find out who answers there.",
    )


def name_problem(seen: Certificate | None, endpoint: Endpoint) -> Problem:
    """Return the problem of a server certificate for other names."""
    host, wanted, hint = endpoint.host, "a DNS name", None
    fact = f" is for {_names(seen)}, not for {endpoint.name}"
    if endpoint.is_ip:
        wanted, hint = "an IP address", _IP_ADDRESSES
    if seen is not None and host in (*seen.names, seen.common_name):
        found = "a DNS name" if host in seen.names else "its CN"
        fact = f" has {endpoint.name} as {found} and not as {wanted}"
    return _of_certificate(codes.PROBE_SERVER_NAME, endpoint, fact, hint)


def client_problem(reason: str, tls: Tls, endpoint: Endpoint) -> Problem | None:
    """Return what an alert says against our certificate, None for nothing."""
    place, variable, own = endpoint.place, tls.cert.variable, tls.own_certificate
    # PostgreSQL says it after the handshake, and in words.
    says_so = not tls.cert.path and endpoint.server != POSTGRESQL
    if reason == _REQUIRED or (says_so and reason in _REQUIRED_BY_TLS_1_2):
        fact, remedy = f"the configured one ({_shown(own)}) was not sent", _OTHER_KIND
        if not tls.cert.path:
            fact = "none is configured"
            remedy = f"Set {variable}, and the variable of its key."
            if endpoint.server in _TURN_ON:
                remedy = _TURN_ON[endpoint.server]
        verb = "requires"
        if reason == _FAILURE:
            verb = "probably requires"
            remedy += " If it requires none, compare the ciphers that both sides allow."
        return codes.PROBE_CLIENT_CERTIFICATE_REQUIRED.problem(
            variable, f"{place} {verb} a client certificate, and {fact}.", remedy
        )
    if not tls.cert.path:
        return None
    if reason == "TLSV1_ALERT_UNKNOWN_CA":
        where = CLIENT_CA.get(endpoint.server, "")
        # Redis takes no list.
        such = _NO_LIST if endpoint.server == POSTGRESQL else ""
        return codes.PROBE_CLIENT_CA.problem(
            variable,
            f"{place} does not trust the CA of the client certificate ({_shown(own)}).",
            f"Let {endpoint.server} trust that CA for clients{where}, or present a "
            "certificate of the CA that it trusts. If it does trust it, its log gives "
            f"the reason{such}.",
        )
    fact = f"{place} refuses the client certificate ({_shown(own)})"
    if reason == _EXPIRED and not (own is not None and own.is_expired):
        return _expired_above(fact, tls, endpoint)
    if re.fullmatch(_CLIENT_REFUSED, reason):
        new = _NEW_ONE if reason == _REVOKED else None
        return _dated_problem(tls, fact, f": {alert_words(reason)}", new)
    return None


def closed_on_certificate(tls: Tls, endpoint: Endpoint) -> Problem:
    """Name the likeliest cause where a server closes and no alert arrives."""
    own, server = tls.own_certificate, endpoint.server
    fact = (
        f"{endpoint.place} closed the connection after it received the client "
        f"certificate ({_shown(own)})"
    )
    if own is not None and not own.is_for("client auth"):
        return _dated_problem(tls, fact, ", which is not for clients")
    return _dated_problem(
        tls,
        fact,
        "; it probably does not trust that CA",
        f"Compare that issuer with the CA that {server} trusts for "
        f"clients{CLIENT_CA.get(server, '')}. Its log names the reason.",
    )


def _expired_above(fact: str, tls: Tls, endpoint: Endpoint) -> Problem:
    """Say what a server may find expired where our certificate is not.

    It gives the same alert for a CA and for a revocation list.
    """
    chain, variable = tls.own_chain, tls.cert.variable
    for one in chain[1:]:
        if one.is_expired:
            return codes.PROBE_CLIENT_EXPIRED.problem(
                variable,
                f"{fact}: the intermediate {one.subject} behind it {one.dates}.",
                "Renew the intermediate, and put it after the client certificate.",
            )
    ours = f", and by the clock here it is {chain[0].dates}" if chain else ""
    return codes.PROBE_CLIENT_EXPIRED.problem(
        variable,
        f"{fact} with the alert 'certificate expired'{ours}.",
        f"Read in the log of {endpoint.server} what is expired: the certificate by the "
        "clock there, the CA that it trusts for clients, or its revocation list (CRL).",
    )


def _dated_problem(
    tls: Tls, fact: str, otherwise: str, remedy: str | None = None
) -> Problem:
    """Blame the dates of our certificate, or say `otherwise` where they are right."""
    own, code = tls.own_certificate, codes.PROBE_CLIENT_REFUSED
    if own is not None and not own.is_valid:
        code, verb = codes.PROBE_CLIENT_EXPIRED, ""
        if not own.is_expired:
            code, verb = CERTIFICATE_NOT_YET_VALID, "is "
        otherwise, remedy = f", which {verb}{own.dates}", None
    return code.problem(tls.cert.variable, f"{fact}{otherwise}.", remedy)


def _shown(own: Certificate | None) -> str:
    return f"{own.subject}, issued by {own.issuer}" if own else "unreadable"


def handshake_problem(error: OSError, endpoint: Endpoint) -> Problem:
    """Return the problem of a handshake that fails because of no certificate."""
    place, words = endpoint.place, alert_words(symptom_of(error))
    return codes.PROBE_TLS_HANDSHAKE.problem(
        endpoint.variable, f"the TLS handshake with {place} fails: {words}."
    )


def tls_context(tls: Tls, endpoint: Endpoint) -> ssl.SSLContext:
    """Return the context; raises `Failed` where a file cannot be loaded."""
    try:
        return tls.context()
    except OSError as error:
        raise Failed(_unloaded_problem(tls, endpoint, error)) from None


def _unloaded_problem(tls: Tls, endpoint: Endpoint, error: OSError) -> Problem:
    """Return why files that TLS needs cannot be loaded."""
    try:
        tls.anonymous.context()
    except OSError as bare:
        # Without any file of ours. The only one that Python names is the log of keys.
        by_log = bare.filename is not None
        fact = "Python cannot write to its file" if by_log else "OpenSSL starts no TLS"
        return codes.PROBE_BROKEN.problem(
            variables.SSLKEYLOGFILE.name if by_log else endpoint.variable,
            f"{fact}: {_words_of(bare)}.",
            TLS_SURROUNDINGS,
        )
    words = _words_of(error)
    files = tls.files(endpoint.server)
    absent = [one for one in files.present() if not os.path.exists(one.path)]
    what, variable, remedy = "the certificate files", tls.cert.variable, None
    if absent:
        what, variable = absent[0]
        remedy = "Mount it, or correct the path."
    elif tls.cert.path and not tls.key.path:
        return codes.PROBE_CLIENT_FILES.problem(
            tls.key.variable,
            f"it is unset, and {tls.cert.path} holds no private key.",
            "Set it to the path of the key.",
        )
    elif endpoint.server not in CLIENT_CA:
        # What `check` knows nothing of is judged here.
        for refused in check_certificates(files):
            return refused
    return codes.PROBE_CLIENT_FILES.problem(
        variable, f"{what} for {endpoint.server} cannot be loaded: {words}.", remedy
    )


def _words_of(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return alert_words(symptom_of(error))
    return (error.strerror or "unreadable").lower()


def seen_certificate(der: bytes | None) -> Certificate | None:
    """Return what a server showed, None where it cannot be read."""
    try:
        found = read_certificate(der or b"", now=time.time())
    except ValueError:
        return None
    # Without its extensions, the names are not known.
    return None if found.is_ca is None else found


def _names(seen: Certificate | None) -> str:
    if seen is None:
        return "other names"
    names = seen.names or (seen.common_name,)
    return listed([name for name in names if name], _SHOWN_NAMES) or "no name"


def described_server(
    seen: Certificate | None, tls: Tls, host: str, verdict: str = ""
) -> str:
    """Return what the stage ``identity`` shows of a server certificate."""
    if seen is None:
        return f"configured host {host}, certificate not readable"
    checked = verdict or ("verified" if tls.verify else "not verified")
    if not verdict and tls.verify and not tls.check_hostname:
        checked = "verified without the name"
    end, days = utc(seen.not_after), seen.days_left
    until = f"expired {end}" if days < 0 else f"expires {end} ({days} days)"
    return (
        f"configured host {host}, certificate for {_names(seen)}, issued by "
        f"{seen.issuer}, {until}, {checked}"
    )


def spaced(reason: str) -> str:
    """Return a reason of OpenSSL as it writes it: ``tlsv1 alert unknown ca``."""
    return reason.replace("_", " ").lower()


def alert_words(reason: str) -> str:
    """Return a reason of OpenSSL without the version that its name begins with."""
    return spaced(reason).replace("sslv3 ", "").replace("tlsv1 ", "")
