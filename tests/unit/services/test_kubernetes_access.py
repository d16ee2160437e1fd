"""How the cluster is found, and as whom we come."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devops_reconciler.api.errors import CredentialsError, ValidationError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.kubernetes_access import (
    TOKEN_AGE,
    AccessToken,
    ClusterAccess,
    find_cluster,
    ssl_context,
)


def write(path: Path, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **extra: Any) -> str:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://kube.example.com/", **(cluster or {})}}],
        "users": [{"name": "u", "user": {"token": "t"} if user is None else user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "current-context": "x",
        **extra,
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_the_current_context_of_a_kubeconfig(tmp_path: Path) -> None:
    data = base64.b64encode(b"PEM").decode()
    path = write(tmp_path / "config", cluster={"certificate-authority-data": data})
    assert find_cluster(kubeconfig=path) == ClusterAccess(
        "https://kube.example.com", ca_data=b"PEM", token="t", namespace="shop"
    )


def test_files_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    user = {"client-certificate": "u.crt", "client-key": "/abs/u.key", "tokenFile": "token"}
    access = find_cluster(kubeconfig=write(tmp_path / "config", user, {"certificate-authority": "ca.crt"}))
    assert access.ca_file == str(tmp_path / "ca.crt")
    assert access.client_cert_file == str(tmp_path / "u.crt")
    assert access.client_key_file == "/abs/u.key"
    assert access.token_file == str(tmp_path / "token")


def test_of_several_kubeconfigs_the_first_that_has_a_name_wins(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.write_text(yaml.safe_dump({"users": [{"name": "u", "user": {"token": "first"}}]}))
    second = write(tmp_path / "second", {"token": "second"})
    assert find_cluster(kubeconfig=f"{tmp_path / 'absent'}:{first}:{second}").token == "first"


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"exec": {"command": "aws"}}, None, "user 'u' uses exec, which is not supported"),
        ({"auth-provider": {"name": "gcp"}}, None, "auth-provider"),
        ({"username": "a", "password": "s3cret"}, None, "username"),
        ({"token": "t", "as": "admin"}, None, "uses as,"),
        (None, {"proxy-url": "http://proxy"}, "proxy-url"),
        (None, {"tls-server-name": "kube"}, "tls-server-name"),
        (None, {"server": ""}, "no server address"),
        (None, {"server": "kube:6443"}, "no server address"),
        (None, {"certificate-authority-data": "!"}, "not base64"),
    ],
)
def test_what_is_not_supported_is_named(
    tmp_path: Path, user: dict[str, Any] | None, cluster: dict[str, Any] | None, words: str
) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        find_cluster(kubeconfig=write(tmp_path / "config", user, cluster))
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"current-context": ""}, "no current-context"),
        ({"current-context": "other"}, "no context 'other'"),
        ({"clusters": []}, "no cluster 'c'"),
        ({"users": None}, "no user 'u'"),
        ({"users": ["u"]}, "has no name"),
    ],
)
def test_a_kubeconfig_with_a_hole_says_which(tmp_path: Path, extra: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        find_cluster(kubeconfig=write(tmp_path / "config", **extra))


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [s3cret", "\x00"])
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ValidationError, match="config") as caught:
        find_cluster(kubeconfig=str(path))
    assert "s3cret" not in caught.value.message


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="none of the files"):
        find_cluster(kubeconfig=str(tmp_path / "absent"))


def test_the_service_account_of_the_pod(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    (tmp_path / "namespace").write_text("freeleaps-devops-system\n")
    access = find_cluster(kubeconfig=None, folder=tmp_path)
    assert access.server == "https://kubernetes.default.svc"
    assert access.ca_file == str(tmp_path / "ca.crt")
    assert AccessToken(access, FakeClock())() == "t"
    assert access.namespace == "freeleaps-devops-system"


def test_no_cluster_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="set KUBECONFIG"):
        find_cluster(kubeconfig="", folder=tmp_path)


def test_a_token_file_is_looked_at_again_after_a_while(tmp_path: Path) -> None:
    file, clock = tmp_path / "token", FakeClock()
    file.write_text("one\n")
    token = AccessToken(ClusterAccess("https://k", token_file=str(file)), clock)
    assert token() == "one"
    file.write_text("two\n")
    assert token() == "one"
    clock.advance(TOKEN_AGE)
    assert token() == "two"
    file.unlink()
    clock.advance(TOKEN_AGE)
    assert token() == "two"


def test_a_refused_token_is_dropped_only_for_another(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    token = AccessToken(ClusterAccess("https://k", token_file=str(file)), FakeClock())
    assert token() == "one"
    assert token.drop("one") is False
    assert token() == "one"
    file.write_text("two")
    assert token.drop("one") is True
    assert token() == "two"
    assert AccessToken(ClusterAccess("https://k", token="fixed"), FakeClock()).drop("fixed") is False


def test_a_token_that_was_refused_late_does_not_stand_for_the_one_that_is_used_since(tmp_path: Path) -> None:
    file, clock = tmp_path / "token", FakeClock()
    file.write_text("one")
    token = AccessToken(ClusterAccess("https://k", token_file=str(file)), clock)
    assert token() == "one"
    file.write_text("two")
    clock.advance(TOKEN_AGE)
    assert token() == "two"
    assert token.drop("one") is True
    file.unlink()  # what is in memory was not asked for, and stays
    assert token() == "two"


def test_a_file_that_cannot_be_read_when_its_token_was_refused_gives_no_other(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    token = AccessToken(ClusterAccess("https://k", token_file=str(file)), FakeClock())
    assert token() == "one"
    file.unlink()
    assert token.drop("one") is False
    assert token() == "one"


def test_a_token_that_cannot_be_read_is_a_matter_of_credentials(tmp_path: Path) -> None:
    token = AccessToken(ClusterAccess("https://k", token_file=str(tmp_path / "absent")), FakeClock())
    with pytest.raises(CredentialsError, match="cannot be read"):
        token()
    assert AccessToken(ClusterAccess("https://k"), FakeClock())() is None


def pair() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return cert.public_bytes(pem), private


def test_certificates_as_data_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cert, key = pair()
    access = ClusterAccess("https://k", ca_data=cert, client_cert_data=cert, client_key_data=key)
    context = ssl_context(access)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509"] == 1
    assert list(tmp_path.iterdir()) == []
    assert key.decode() not in repr(access)


def test_an_insecure_cluster_is_not_verified() -> None:
    context = ssl_context(ClusterAccess("https://k", insecure=True))
    assert context.verify_mode == ssl.CERT_NONE
    assert not context.check_hostname


@pytest.mark.parametrize(
    "access",
    [
        ClusterAccess("https://k", ca_data=b"not a certificate"),
        ClusterAccess("https://k", ca_file="/nowhere/ca.crt"),
        ClusterAccess("https://k", client_cert_data=b"nonsense", client_key_data=b"nonsense"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_said_so(access: ClusterAccess) -> None:
    with pytest.raises(ValidationError, match="certificates for https://k cannot be used"):
        ssl_context(access)
