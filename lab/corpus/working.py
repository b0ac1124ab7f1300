"""What works, and what works but deserves a word."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.certificates import CLIENT_AND_SERVER
from lab.certificates import DAY
from lab.certificates import mount_files
from lab.certificates import now
from lab.corpus.forms import FORMS
from lab.corpus.situation import FILES
from lab.corpus.situation import POSTGRESQL
from lab.corpus.situation import REDIS
from lab.corpus.situation import Pki
from lab.corpus.situation import Said
from lab.corpus.situation import Situation
from lab.corpus.situation import der_key
from lab.corpus.situation import utc


def good(pki: Pki) -> Iterator[Situation]:
    root = pki.root
    leaf = root.issue()
    for name, kind in {
        "ec": root.issue(),
        "ec-pkcs8": root.issue(key_format="pkcs8"),
        "rsa": root.issue(key="rsa"),
        "rsa-pkcs8": root.issue(key="rsa", key_format="pkcs8"),
        "no-usages-at-all": root.issue(usages=()),
        "client-and-server-auth": root.issue(usages=CLIENT_AND_SERVER),
        "key-agreement-only": root.issue(usages=("key agreement", "client auth")),
        "valid-for-31-days": root.issue(not_after=now() + 31 * DAY),
    }.items():
        yield Situation(name, mount_files(kind, root.ca_pem), warned=())
    yield Situation(
        "p384",
        mount_files(
            root.issue(key=ec.generate_private_key(ec.SECP384R1())), root.ca_pem
        ),
        warned=(
            Said(
                "certificate-curve",
                "cert",
                "the key of {cert} is on the curve secp384r1, which a PostgreSQL that "
                "speaks only TLS 1.2 refuses by default.",
            ),
        ),
        warned_for=frozenset((POSTGRESQL,)),
    )
    below = pki.intermediate.issue()
    yield Situation("intermediate-sent", mount_files(below, root.ca_pem), warned=())
    yield Situation(
        "intermediate-in-ca-file-only",
        {
            **mount_files(below, root.ca_pem + pki.intermediate.cert_pem),
            "tls.crt": below.cert_pem,
        },
        warned=(),
    )
    yield Situation(
        "root-sent-as-well",
        {**mount_files(below, root.ca_pem), "tls.crt": below.chain_pem + root.cert_pem},
        warned=(),
    )
    yield Situation(
        "key-and-certificate-in-each",
        {
            "tls.crt": leaf.key_pem + leaf.cert_pem,
            "tls.key": leaf.cert_pem + leaf.key_pem,
            "ca.crt": root.ca_pem,
        },
        warned=(),
    )
    yield Situation(
        "parameters-before-key",
        {
            **mount_files(leaf, root.ca_pem),
            "tls.key": b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
            b"-----END EC PARAMETERS-----\n" + leaf.key_pem,
        },
        warned=(),
    )
    yield Situation(
        "same-ca-twice", mount_files(leaf, root.ca_pem + root.ca_pem), warned=()
    )


def odd(pki: Pki) -> Iterator[Situation]:
    """Yield what works, and deserves a word or two."""
    root, leaf = pki.root, pki.root.issue()
    good = mount_files(leaf, root.ca_pem)
    yield Situation(
        "crlf",
        {name: content.replace(b"\n", b"\r\n") for name, content in good.items()},
        warned=tuple(
            Said(
                "pem-crlf",
                role,
                f"{{{role}}} ends its lines with CR LF.",
            )
            for role in FILES
        ),
    )
    yield Situation(
        "byte-order-mark",
        {name: b"\xef\xbb\xbf" + content for name, content in good.items()},
        warned=tuple(
            Said(
                "pem-byte-order-mark",
                role,
                f"{{{role}}} starts with a byte order mark.",
            )
            for role in FILES
        ),
    )
    for name, bend in {
        "leading-text": lambda content: b"Bag Attributes\n  name: x\n" + content,
        "trailing-blanks": lambda content: content.replace(b"\n", b"  \n"),
        "trailing-lines": lambda content: content + b"\n\n  \n",
        "no-final-line-end": lambda content: content.rstrip(b"\n"),
        "text-after": lambda content: content + b"# the end",
    }.items():
        yield Situation(
            name, {file: bend(content) for file, content in good.items()}, warned=()
        )
    yield Situation(
        "expires-in-29-days",
        mount_files(ends := root.issue(not_after=now() + 29.5 * DAY), root.ca_pem),
        warned=(
            Said(
                "certificate-expiring",
                "cert",
                "CN=app in {cert} expires in 29 days, on {end}.",
            ),
        ),
        texts={"end": utc(ends.certificate.not_valid_after_utc)},
    )
    yield Situation(
        "other-common-name",
        mount_files(root.issue("nautobot"), root.ca_pem),
        warned=(
            Said(
                "certificate-name-mismatch",
                "cert",
                "the certificate in {cert} is CN=nautobot, and the database user is "
                "app.",
            ),
        ),
        warned_for=frozenset((POSTGRESQL,)),
        found_out=frozenset((POSTGRESQL,)),
    )
    yield Situation(
        "no-name-at-all",
        mount_files(root.issue(None, san=("app",)), root.ca_pem),
        warned=(
            Said(
                "certificate-name-mismatch",
                "cert",
                "the certificate in {cert} has no name, and the database user is app.",
            ),
        ),
        warned_for=frozenset((POSTGRESQL,)),
        found_out=frozenset((POSTGRESQL,)),
    )
    key = der_key(leaf, serialization.PrivateFormat.TraditionalOpenSSL)
    for name, content in {
        "der-key": key,
        "der-key-pkcs8": der_key(leaf, serialization.PrivateFormat.PKCS8),
    }.items():
        yield Situation(
            name,
            {**good, "tls.key": content},
            refused=(FORMS["der"].said("key"),),
            refused_for=frozenset((REDIS,)),
            warned=(
                Said(
                    "key-der",
                    "key",
                    "{key} is DER, which libpq accepts and Redis clients do not.",
                ),
            ),
            warned_for=frozenset((POSTGRESQL,)),
        )
