"""CA files."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping

from lab.certificates import DAY
from lab.certificates import Authority
from lab.certificates import Leaf
from lab.certificates import mount_files
from lab.certificates import now
from lab.corpus.situation import BOTH
from lab.corpus.situation import Pki
from lab.corpus.situation import Said
from lab.corpus.situation import Situation
from lab.corpus.situation import pem_key
from lab.corpus.situation import utc


def authorities(pki: Pki) -> Iterator[Situation]:
    root, leaf = pki.root, pki.root.issue()
    good = mount_files(leaf, root.ca_pem)

    yield Situation(
        "ca-is-the-client-certificate",
        {**good, "ca.crt": leaf.cert_pem},
        pinned=True,
        refused=(
            Said(
                "ca-is-client-certificate",
                "ca",
                "{ca} holds the client certificate CN=app, not a CA.",
                "Store the certificate of CN=understack-mtls-ca there.",
            ),
        ),
    )
    yield Situation(
        "ca-is-some-certificate",
        {**good, "ca.crt": root.server("redis.example").cert_pem},
        pinned=True,
        refused=(
            Said(
                "ca-none",
                "ca",
                "{ca} holds no CA, only CN=redis.example.",
            ),
        ),
    )
    yield Situation(
        "ca-is-an-intermediate",
        {**good, "ca.crt": pki.intermediate.cert_pem},
        pinned=True,
        refused=(
            Said(
                "ca-without-root",
                "ca",
                "{ca} holds only intermediates: CN=understack-mtls-intermediate.",
                "Add the root certificate: CN=understack-mtls-ca.",
            ),
        ),
    )
    gone = Authority("gone-ca", not_before=now() - 9 * DAY, not_after=now() - DAY)
    soon = Authority("next-ca", not_before=now() + 1.5 * DAY, not_after=now() + 9 * DAY)
    texts = {
        "gone": utc(gone.certificate.not_valid_after_utc),
        "soon": utc(soon.certificate.not_valid_before_utc),
        "root_end": utc(root.certificate.not_valid_after_utc),
        "clients_end": utc(pki.clients.certificate.not_valid_after_utc),
        "namesake_end": utc(pki.namesake.certificate.not_valid_after_utc),
    }
    yield Situation(
        "ca-outside-of-its-validity",
        {**good, "ca.crt": gone.ca_pem + soon.ca_pem},
        refused=(
            Said(
                "ca-expired",
                "ca",
                "{ca} holds no CA that is valid now: CN=gone-ca (expired on {gone}, "
                "1 day ago), CN=next-ca (not valid before {soon}, in 1 day).",
            ),
        ),
        texts=texts,
    )
    yield Situation(
        "ca-change-with-an-expired-one",
        {**good, "ca.crt": gone.ca_pem + root.ca_pem},
        warned=(
            Said(
                "ca-dates",
                "ca",
                "the CA CN=gone-ca in {ca} expired on {gone}, 1 day ago.",
            ),
            Said(
                "ca-several",
                "ca",
                "{ca} holds 2 CAs: CN=gone-ca (expired on {gone}, 1 day ago); "
                "CN=understack-mtls-ca (valid until {root_end}).",
            ),
        ),
        texts=texts,
    )
    for name, bundle, order in (
        ("old-first", pki.clients.ca_pem + root.ca_pem, (1, 0)),
        ("new-first", root.ca_pem + pki.clients.ca_pem, (0, 1)),
    ):
        named = (
            "CN=understack-mtls-ca (valid until {root_end})",
            "CN=understack-client-ca (valid until {clients_end})",
        )
        yield Situation(
            f"two-cas-{name}",
            {**good, "ca.crt": bundle},
            warned=(
                Said(
                    "ca-several",
                    "ca",
                    "{ca} holds 2 CAs: " + "; ".join(named[i] for i in order) + ".",
                ),
            ),
            texts=texts,
        )
    for name, bundle, order in (
        ("right-one-first", root.ca_pem + pki.namesake.ca_pem, (0, 1)),
        ("right-one-last", pki.namesake.ca_pem + root.ca_pem, (1, 0)),
    ):
        named = ("{root_end}", "{namesake_end}")
        yield Situation(
            f"same-subject-{name}",
            {**good, "ca.crt": bundle},
            warned=(
                Said(
                    "ca-several",
                    "ca",
                    "{ca} holds 2 CAs: "
                    + "; ".join(
                        f"CN=understack-mtls-ca (valid until {named[i]})" for i in order
                    )
                    + ".",
                ),
                Said(
                    "ca-same-subject",
                    "ca",
                    "{ca} holds 2 CAs named CN=understack-mtls-ca.",
                ),
            ),
            texts=texts,
        )
    yield Situation(
        "client-certificate-among-the-cas",
        {**good, "ca.crt": root.ca_pem + leaf.cert_pem},
        warned=(
            Said(
                "ca-holds-client-certificate",
                "ca",
                "{ca} lists the client certificate CN=app among the CAs.",
            ),
        ),
    )
    yield Situation(
        "server-certificate-among-the-cas",
        {**good, "ca.crt": root.ca_pem + root.server("redis.example").cert_pem},
        warned=(
            Said(
                "ca-holds-leaf",
                "ca",
                "{ca} lists CN=redis.example, which is not a CA.",
            ),
        ),
    )
    yield Situation(
        "key-of-a-ca",
        {**good, "ca.crt": root.ca_pem + pem_key(pki.stranger)},
        warned=(
            Said(
                "ca-holds-key",
                "ca",
                "{ca} holds a private key.",
            ),
        ),
    )
    yield from _separate_authorities(pki, texts)


def _separate_authorities(pki: Pki, texts: Mapping[str, str]) -> Iterator[Situation]:
    root = pki.root

    def unknown(subject: str, issuer: str) -> Said:
        return Said(
            "certificate-issuer-unknown",
            "cert",
            f"{{cert}} ({subject}, issued by {issuer}) does not lead to a CA in "
            "{ca}.",
        )

    yield Situation(
        "separate-client-ca",
        mount_files(pki.clients.issue(), root.ca_pem),
        warned=(unknown("CN=app", "CN=understack-client-ca"),),
    )
    below = pki.intermediate.issue()
    yield Situation(
        "intermediate-nowhere",
        {**mount_files(below, root.ca_pem), "tls.crt": below.cert_pem},
        warned=(unknown("CN=app", "CN=understack-mtls-intermediate"),),
        found_out=BOTH,
    )
    yield Situation(
        "intermediate-missing-below-the-root",
        {**mount_files(below, root.ca_pem), "tls.crt": below.cert_pem + root.cert_pem},
        warned=(unknown("CN=app", "CN=understack-mtls-intermediate"),),
        found_out=BOTH,
    )
    yield Situation(
        "unknown-client-ca",
        mount_files(pki.stranger.issue(), root.ca_pem),
        warned=(unknown("CN=app", "CN=somebody-else"),),
        found_out=BOTH,
    )
    yield Situation(
        "wrong-ca-file",
        mount_files(root.issue(), pki.stranger.ca_pem),
        warned=(unknown("CN=app", "CN=understack-mtls-ca"),),
        found_out=BOTH,
    )
    alone = Authority(
        "app",
        is_ca=False,
        usages=("digital signature", "client auth"),
    )
    itself = Leaf(alone.certificate, alone.key, pem_key(alone))
    yield Situation(
        "self-signed-as-its-own-ca",
        mount_files(itself, alone.cert_pem),
        warned=(
            Said(
                "ca-of-itself",
                "ca",
                "{ca} lists the self-signed client certificate CN=app as its own CA.",
            ),
        ),
        found_out=BOTH,
    )
    weary = pki.root.intermediate(
        "weary-intermediate", not_before=now() - 9 * DAY, not_after=now() - DAY
    )
    yield Situation(
        "intermediate-expired",
        mount_files(weary.issue(), root.ca_pem),
        warned=(
            Said(
                "certificate-intermediate-dates",
                "cert",
                "the intermediate CN=weary-intermediate in {cert} expired on {weary}, "
                "1 day ago.",
            ),
        ),
        found_out=BOTH,
        texts={"weary": utc(weary.certificate.not_valid_after_utc)},
    )
    gone = Authority(
        "understack-mtls-intermediate",
        issuer=root,
        key=pki.intermediate.key,
        not_before=now() - 9 * DAY,
        not_after=now() - DAY,
    )
    yield Situation(
        "intermediate-renewed-beside-the-expired-one",
        {
            **mount_files(below, root.ca_pem),
            "tls.crt": below.cert_pem + gone.cert_pem + pki.intermediate.cert_pem,
        },
        warned=(),
    )
    near = Authority("ending-ca", not_after=now() + 9.5 * DAY)
    yield Situation(
        "ca-expiring",
        mount_files(root.issue(), root.ca_pem + near.ca_pem),
        warned=(
            Said(
                "ca-expiring",
                "ca",
                "the CA CN=ending-ca in {ca} expires in 9 days, on {near}.",
            ),
            Said(
                "ca-several",
                "ca",
                "{ca} holds 2 CAs: CN=understack-mtls-ca (valid until {root_end}); "
                "CN=ending-ca (valid until {near}).",
            ),
        ),
        texts={**texts, "near": utc(near.certificate.not_valid_after_utc)},
    )
    yield from _lint(pki)


def _lint(pki: Pki) -> Iterator[Situation]:
    root = pki.root

    def strict(what: str) -> Said:
        return Said(
            "certificate-not-strict",
            "cert",
            f"OpenSSL's strict rules refuse {{cert}} with the CAs of {{ca}}: {what}.",
        )

    def several(other: Authority, name: str) -> Said:
        return Said(
            "ca-several",
            "ca",
            f"{{ca}} holds 2 CAs: CN=understack-mtls-ca (valid until "
            f"{utc(root.certificate.not_valid_after_utc)}); CN={name} (valid until "
            f"{utc(other.certificate.not_valid_after_utc)}).",
        )

    yield Situation(
        "basic-constraints-not-critical",
        mount_files(pki.lax.issue(), root.ca_pem + pki.lax.ca_pem),
        warned=(
            several(pki.lax, "lax-ca"),
            Said(
                "certificate-not-strict",
                "ca",
                "the CA CN=lax-ca in {ca} has no critical basicConstraints.",
            ),
        ),
    )
    yield Situation(
        "no-authority-key-identifier",
        mount_files(root.issue(authority_key_id=False), root.ca_pem),
        warned=(strict("a certificate has no AuthorityKeyIdentifier"),),
    )
