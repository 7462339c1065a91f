"""The pair, its trust, and when a new one is due."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import replace

import pytest
from cryptography import x509

from vnodectl.webhook.certificates import LIFE, RENEW_AFTER, Bundle, make, of_data, usable

NAMES = ("x-webhook.ns.svc", "x-webhook.ns.svc.cluster.local")
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return make(NAMES, NOW)


def test_a_bundle_comes_back_from_a_secret(bundle: Bundle) -> None:
    assert of_data(bundle.data()) == bundle
    assert "key=" not in repr(bundle)


@pytest.mark.parametrize("lost", ["ca.crt", "tls.crt", "tls.key"])
def test_what_is_not_whole_is_none(bundle: Bundle, lost: str) -> None:
    data = bundle.data()
    assert of_data({**data, lost: "%%%"}) is None
    del data[lost]
    assert of_data(data) is None
    assert of_data(None) is None


def test_it_is_used_until_two_thirds_of_its_life(bundle: Bundle) -> None:
    due = NOW + LIFE * RENEW_AFTER
    assert usable(bundle, NAMES, NOW) == bundle
    assert usable(bundle, NAMES, due - DAY) == bundle
    assert usable(bundle, NAMES, due + DAY) is None
    assert usable(bundle, NAMES, NOW - DAY) is None, "a clock that is far off"


def test_what_is_not_good_for_us_is_made_anew(bundle: Bundle) -> None:
    other = make(NAMES, NOW)
    assert usable(None, NAMES, NOW) is None
    assert usable(bundle, (*NAMES, "another"), NOW) is None
    assert usable(replace(bundle, key=other.key), NAMES, NOW) is None
    assert usable(replace(bundle, ca=other.ca), NAMES, NOW) is None
    assert usable(replace(bundle, certificate=b"no"), NAMES, NOW) is None


def test_trust_outlives_one_renewal(bundle: Bundle) -> None:
    second = make(NAMES, NOW + 60 * DAY, bundle)
    third = make(NAMES, NOW + 120 * DAY, second)
    first_ca, second_ca = (x509.load_pem_x509_certificates(one.ca)[0] for one in (bundle, second))
    assert x509.load_pem_x509_certificates(second.ca)[1:] == [first_ca]
    assert x509.load_pem_x509_certificates(third.ca)[1:] == [second_ca], "not for ever"
    late = make(NAMES, NOW + LIFE + DAY, bundle)
    assert len(x509.load_pem_x509_certificates(late.ca)) == 1, "a CA that has ended is not trusted"
    assert make(NAMES, NOW, Bundle(b"nonsense", b"", b"")).ca.count(b"BEGIN CERTIFICATE") == 1


def test_openssl_trusts_the_chain() -> None:
    made = make(NAMES, datetime.datetime.now(datetime.UTC))
    context = ssl.create_default_context(cadata=made.ca.decode())
    assert len(context.get_ca_certs()) == 1
    certificate = x509.load_pem_x509_certificate(made.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificates(made.ca)[0])
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca
