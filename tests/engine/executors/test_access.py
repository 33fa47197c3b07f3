"""Who gets to a scheduler: files of certificates that are none, and addresses that need them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from authorities import Authority, openssl

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors.cluster.access import Certificates, place_of

INSECURE = (
    "others can reach it, and without TLS read along and run programs on the workers; give --tls-ca, --tls-cert, "
    "--tls-key, or say --insecure where the network is closed"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def good(authority):
    return authority.sign("one")


def complaint(certificates):
    with pytest.raises(OpfuzzError) as caught:
        certificates.check()
    return str(caught.value)


def test_files_that_go_together(good):
    good.check()


def test_a_certificate_and_its_key_in_one_file(good, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(good.certificate.read_bytes() + good.key.read_bytes())
    Certificates(good.authority, both, both).check()


@pytest.mark.parametrize(
    ("option", "field", "thing"),
    [
        ("--tls-ca", "authority", "certificate"),
        ("--tls-cert", "certificate", "certificate"),
        ("--tls-key", "key", "private key"),
    ],
)
def test_a_file_that_is_not_there_or_something_else(option, field, thing, good, tmp_path):
    gone, other, folder = tmp_path / "gone.pem", tmp_path / "other.pem", tmp_path
    other.write_text("no PEM\n")
    assert complaint(replace(good, **{field: gone})) == f"{option} {gone}: cannot be read: No such file or directory"
    assert complaint(replace(good, **{field: folder})) == f"{option} {folder}: cannot be read: Is a directory"
    assert complaint(replace(good, **{field: other})) == (
        f"{option} {other}: no {thing} in PEM is there; give a file with a line -----BEGIN {thing.upper()}-----"
    )


def test_a_certificate_where_a_key_should_be_and_a_key_where_a_certificate_should(good):
    assert complaint(replace(good, key=good.certificate)).startswith(f"--tls-key {good.certificate}: no private key")
    assert complaint(replace(good, authority=good.key)).startswith(f"--tls-ca {good.key}: no certificate in PEM")


def test_a_key_of_another_certificate(good, authority):
    key = authority.sign("two").key
    assert complaint(replace(good, key=key)) == (
        f"--tls-key {key}: the key does not belong to --tls-cert {good.certificate}; give the key that the certificate "
        "was made with"
    )


def test_a_key_with_a_password_is_asked_for_none(good, tmp_path):
    key = tmp_path / "one.key"
    openssl("pkey", "-in", good.key, "-aes128", "-passout", "pass:secret", "-out", key)
    assert complaint(replace(good, key=key)) == (
        f"--tls-key {key}: the key is encrypted, and Dask has no password for it; write it without one to a file that "
        "only you can read: openssl pkey -in FILE -out FILE"
    )


def test_a_certificate_of_another_authority(good, tmp_path):
    theirs = Authority(tmp_path / "theirs").certificate
    said = complaint(replace(good, authority=theirs))
    assert said.startswith(f"--tls-cert {good.certificate}: --tls-ca {theirs} does not vouch for it: ")
    assert said.endswith("; give a certificate that this authority has signed")


def test_a_certificate_whose_time_is_over(authority):
    assert "does not vouch for it: certificate has expired; give a" in complaint(authority.sign("old", days=-1))


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:8786", "127.9.9.9:8786", "localhost:8786", "tcp://[::1]:8786", "[::1]:8786"],
)
def test_this_machine_needs_no_certificates(address):
    assert place_of(address, None, is_insecure=False) == address


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.1:8786",
        "10.0.0.1:8786",
        "host:8786",
        "ws://host:8786",
        "tcp://0.0.0.0:8786",
        "tcp://localhost.example:8786",
        "tcp://127.0.0.1@host:8786",
        "tcp://[2001:db8::1]:8786",
    ],
)
def test_another_machine_needs_certificates_or_a_word(address, good):
    with pytest.raises(OpfuzzError) as caught:
        place_of(address, None, is_insecure=False)
    assert str(caught.value) == f"--scheduler {address}: {INSECURE}"
    assert place_of(address, None, is_insecure=True) == address


def test_certificates_are_for_tls(good):
    assert place_of("10.0.0.1:8786", good, is_insecure=False) == "tls://10.0.0.1:8786"
    assert place_of("tls://10.0.0.1:8786", good, is_insecure=False) == "tls://10.0.0.1:8786"
    with pytest.raises(OpfuzzError) as caught:
        place_of("tcp://10.0.0.1:8786", good, is_insecure=False)
    assert str(caught.value) == (
        "--scheduler tcp://10.0.0.1:8786: --tls-ca is for an address with TLS; write tls://10.0.0.1:8786, and start "
        f"the scheduler with --tls-ca-file {good.authority} --tls-cert {good.certificate} --tls-key {good.key}"
    )
