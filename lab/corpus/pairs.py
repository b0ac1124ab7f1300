"""Certificates and keys that servers refuse."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.certificates import SERVER
from lab.certificates import mount_files
from lab.corpus.forms import FORMS
from lab.corpus.forms import spoilt
from lab.corpus.situation import Pki
from lab.corpus.situation import Said
from lab.corpus.situation import Situation
from lab.corpus.situation import utc


def mismatched(pki: Pki) -> Iterator[Situation]:
    root, leaf = pki.root, pki.root.issue()
    good = mount_files(leaf, root.ca_pem)
    mismatch = Said(
        "certificate-key-mismatch",
        "key",
        "{key} is not the key of {cert} (CN=app).",
    )
    for name, other in {
        "key-of-another": root.issue(),
        "key-of-another-kind": root.issue(key="rsa"),
    }.items():
        yield Situation(name, {**good, "tls.key": other.key_pem}, refused=(mismatch,))
    yield Situation(
        "der-certificate-as-key",
        {**good, "tls.key": leaf.certificate.public_bytes(serialization.Encoding.DER)},
        refused=(
            Said(
                "pem-other-kind",
                "key",
                "{key} holds a certificate (DER), not a private key.",
            ),
        ),
        warned=(),
    )
    yield Situation(
        "swapped",
        {**good, "tls.crt": leaf.key_pem, "tls.key": leaf.cert_pem},
        refused=(
            Said(
                "certificate-key-swapped",
                "cert",
                "{cert} holds the private key, and {key} holds the client certificate.",
            ),
        ),
    )
    yield Situation(
        "exchanged",
        {"tls.crt": root.cert_pem, "tls.key": leaf.cert_pem, "ca.crt": leaf.key_pem},
        refused=(
            Said(
                "certificate-key-swapped",
                "cert",
                "{cert} holds the CA certificate, {key} holds the client certificate, "
                "and {ca} holds the private key.",
            ),
        ),
        key_mode=0o644,
    )
    yield Situation(
        "ca-and-certificate-exchanged",
        {**good, "tls.crt": root.cert_pem, "ca.crt": leaf.cert_pem},
        refused=(
            Said(
                "certificate-key-swapped",
                "cert",
                "{cert} holds the CA certificate, and {ca} holds the client "
                "certificate.",
            ),
        ),
    )
    yield Situation(
        "ca-first",
        {**good, "tls.crt": root.cert_pem + leaf.cert_pem},
        refused=(
            Said(
                "certificate-ca-first",
                "cert",
                "{cert} starts with the CA CN=understack-mtls-ca, and the certificate "
                "CN=app comes later.",
            ),
        ),
        warned=(),
    )
    yield Situation(
        "ca-as-cert",
        {**good, "tls.crt": root.cert_pem},
        refused=(
            mismatch._replace(
                fact="{key} is not the key of {cert} (CN=understack-mtls-ca)."
            ),
        ),
    )
    encrypted = Said(
        "key-encrypted",
        "key",
        "{key} is encrypted, and a pod cannot ask for its password.",
    )
    for form in ("traditional", "pkcs8"):
        locked = root.issue(password="canary", key=leaf.key, key_format=form)
        yield Situation(
            f"encrypted-{form}",
            {**good, "tls.crt": locked.cert_pem, "tls.key": locked.key_pem},
            refused=(encrypted,),
        )
    yield Situation(
        "encrypted-under-a-damaged-certificate",
        {
            **good,
            "tls.crt": spoilt(leaf.cert_pem)["cr-only"],
            "tls.key": root.issue(password="canary", key_format="pkcs8").key_pem,
        },
        refused=(FORMS["cr-only"].said("cert"), encrypted),
    )


def not_usable(pki: Pki) -> Iterator[Situation]:
    root = pki.root
    old, early = root.expired(), root.not_yet_valid()
    expired = Said(
        "certificate-expired",
        "cert",
        "{cert} (CN=app) expired on {end}, 1 day ago.",
    )
    yield Situation(
        "expired",
        mount_files(old, root.ca_pem),
        refused=(expired,),
        warned=(),
        texts={"end": utc(old.certificate.not_valid_after_utc)},
    )
    yield Situation(
        "not-yet-valid",
        mount_files(early, root.ca_pem),
        refused=(
            Said(
                "certificate-not-yet-valid",
                "cert",
                "{cert} (CN=app) is not valid before {start}, in 1 day.",
            ),
        ),
        warned=(),
        texts={"start": utc(early.certificate.not_valid_before_utc)},
    )
    usages = Said(
        "certificate-not-for-clients",
        "cert",
        "{cert} is not for client authentication: its usages are server auth.",
    )
    server = root.issue(usages=SERVER)
    yield Situation("server-auth", mount_files(server, root.ca_pem), refused=(usages,))
    yield Situation(
        "any-usage",
        mount_files(root.issue(usages=("any",)), root.ca_pem),
        refused=(usages._replace(fact=usages.fact.replace("server auth", "any")),),
    )
    yield Situation(
        "key-encipherment-only",
        mount_files(
            root.issue(usages=("key encipherment", "client auth"), key="rsa"),
            root.ca_pem,
        ),
        refused=(
            usages._replace(
                fact="{cert} is not for client authentication: its key usages are "
                "key encipherment, and neither digital signature nor key agreement."
            ),
        ),
    )
    both = root.expired(usages=SERVER)
    yield Situation(
        "server-auth-and-expired",
        mount_files(both, root.ca_pem),
        refused=(usages, expired),
        texts={"end": utc(both.certificate.not_valid_after_utc)},
    )
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    yield Situation(
        "rsa-1024",
        mount_files(root.issue(key=small), root.ca_pem),
        doubted=(
            Said(
                "certificate-weak",
                "cert",
                "{cert} may be refused: its key is too small.",
            ),
        ),
    )
