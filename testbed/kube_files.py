"""The files and flags with which a control plane is started."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from testbed import audit, certificates
from testbed.processes import free_port

HOST = "127.0.0.1"
Flags = Mapping[str, object]


@dataclass(frozen=True)
class Layout:
    """Where everything of one control plane is: its folder, and the addresses on which it listens."""

    folder: Path
    server: str
    etcd: str
    etcd_peer: str

    @classmethod
    def choose(cls, folder: Path) -> Layout:
        """Free ports on loopback."""
        return cls(
            folder=folder,
            server=f"https://{HOST}:{free_port(HOST)}",
            etcd=f"http://{HOST}:{free_port(HOST)}",
            etcd_peer=f"http://{HOST}:{free_port(HOST)}",
        )

    @property
    def authority(self) -> Path:
        """The certificate authority of the API server."""
        return self.folder / "ca.crt"

    @property
    def audit_log(self) -> Path:
        """See :mod:`testbed.audit`."""
        return self.folder / "audit.log"

    def write(self, tokens: Mapping[str, str], superusers: Collection[str]) -> None:
        """Certificates, keys, the audit policy and the list of users with their tokens."""
        certificates.write_serving_files(
            self.folder, names=["localhost", "kubernetes", "kubernetes.default.svc"], addresses=[HOST, "10.0.0.1"]
        )
        certificates.write_key_pair(self.folder, "service-accounts")
        (self.folder / "audit-policy.json").write_text(json.dumps(audit.POLICY))
        self.audit_log.touch()
        with (self.folder / "tokens.csv").open("w", newline="") as file:
            for user, token in tokens.items():
                csv.writer(file).writerow([token, user, user, *(["system:masters"] if user in superusers else [])])

    def write_kubeconfig(self, user: str, token: str, namespace: str = "default") -> Path:
        """A kubeconfig with token and authority inside; returns its path."""
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        path = self.folder / f"kubeconfig-{user.replace(':', '-')}-{namespace}.yaml"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "testbed", "cluster": {"server": self.server, "certificate-authority-data": authority}}
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user, "namespace": namespace}}],
            "current-context": "testbed",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(content))
        return path

    @property
    def etcd_flags(self) -> Flags:
        """One member, without waiting for the disk: the data are worth nothing after the run."""
        return {
            "name": "testbed",
            "data-dir": self.folder / "etcd",
            "listen-client-urls": self.etcd,
            "advertise-client-urls": self.etcd,
            "listen-peer-urls": self.etcd_peer,
            "initial-advertise-peer-urls": self.etcd_peer,
            "initial-cluster": f"testbed={self.etcd_peer}",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }

    @property
    def api_server_flags(self) -> Flags:
        """Tokens from a file, rights by RBAC, every request in the audit log."""
        return {
            "etcd-servers": self.etcd,
            "bind-address": HOST,
            "secure-port": self.server.rpartition(":")[2],
            "tls-cert-file": self.folder / "serving.crt",
            "tls-private-key-file": self.folder / "serving.key",
            "service-account-key-file": self.folder / "service-accounts.pub",
            "service-account-signing-key-file": self.folder / "service-accounts.key",
            "service-account-issuer": "https://kubernetes.default.svc",
            "token-auth-file": self.folder / "tokens.csv",
            "authorization-mode": "RBAC,Node",
            # Off by default and on in some distributions: owner references then need a right of their own.
            "enable-admission-plugins": "OwnerReferencesPermissionEnforcement",
            "service-cluster-ip-range": "10.0.0.0/24",
            "audit-policy-file": self.folder / "audit-policy.json",
            "audit-log-path": self.audit_log,
            # In megabytes: otherwise a new file is begun after 100, and who looks at the whole run sees its end only.
            "audit-log-maxsize": "100000",
            "profiling": "false",
        }

    def controller_manager_flags(self, kubeconfig: Path) -> Flags:
        """All controllers but the one for addresses of nodes: none has a network."""
        return {
            "kubeconfig": kubeconfig,
            "leader-elect": "false",
            "controllers": "*,-nodeipam",
            "service-account-private-key-file": self.folder / "service-accounts.key",
            "root-ca-file": self.authority,
            "secure-port": "0",
            # The usual 20 requests a second protect busy API servers; here tests would only wait for them.
            "kube-api-qps": "200",
            "kube-api-burst": "400",
            "profiling": "false",
        }
