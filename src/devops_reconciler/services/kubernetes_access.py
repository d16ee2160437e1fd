"""How we reach our cluster, and as whom: a kubeconfig, else the service account of the pod.

Only what needs no other program is supported: tokens, token files and client certificates. Everything else that a
kubeconfig can say (exec and auth plugins, proxies, passwords) is refused by name, never ignored.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from ..api.errors import CredentialsError, ValidationError
from ..runtime.clock import Clock
from ..runtime.slots import Slots
from .http import AiohttpTransport, Http, Observer
from .kubernetes import Kubernetes
from .kubernetes_errors import SERVICE
from .kubernetes_kubeconfig import read_kubeconfig

SERVICE_ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER_SERVER = "https://kubernetes.default.svc"
TOKEN_AGE = timedelta(seconds=60)
"""How long a token is taken from memory without a look at its file. Kubelet renews the file well before its end."""
REQUEST_CONNECTIONS = 4
"""As many keep the processors of a small API server busy. Each more makes all others wait there, urgent ones too."""
WATCH_CONNECTIONS = 12


@dataclass(frozen=True)
class ClusterAccess:
    """One API server and one identity. Secrets stay out of `repr`.

    Of `*_data` (PEM) and `*_file`, data wins. `token` wins over `token_file`, which is read again when it changes.
    """

    server: str
    ca_data: bytes | None = None
    ca_file: str | None = None
    insecure: bool = False
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    client_cert_data: bytes | None = field(default=None, repr=False)
    client_cert_file: str | None = None
    client_key_data: bytes | None = field(default=None, repr=False)
    client_key_file: str | None = None
    namespace: str | None = None
    connections: int = REQUEST_CONNECTIONS
    """For requests; watches have their own."""


def find_cluster(
    *, kubeconfig: str | None, server: str = IN_CLUSTER_SERVER, folder: Path = SERVICE_ACCOUNT_FOLDER
) -> ClusterAccess:
    """Our cluster: `kubeconfig` is what KUBECONFIG says (a path, or several with ":"), else the pod's service account.

    Raises ValidationError that says what to do, also for the parts of a kubeconfig that are not supported.
    """
    if kubeconfig:
        return ClusterAccess(**read_kubeconfig(kubeconfig))
    if not (folder / "token").is_file():
        raise ValidationError(
            f"no cluster: KUBECONFIG is not set and there is no service account token at {folder / 'token'}; "
            "set KUBECONFIG to the path of a kubeconfig, or run in a pod with a service account"
        )
    own = folder / "namespace"
    return ClusterAccess(
        server,
        ca_file=str(folder / "ca.crt"),
        token_file=str(folder / "token"),
        namespace=own.read_text().strip() if own.is_file() else None,
    )


def ssl_context(access: ClusterAccess) -> ssl.SSLContext:
    """TLS as `access` says. Raises ValidationError where a certificate or key cannot be used."""
    try:
        context = ssl.create_default_context(
            cafile=None if access.ca_data else access.ca_file,
            cadata=access.ca_data.decode() if access.ca_data else None,
        )
        # Many clusters' own authorities lack the key identifiers that Python 3.13 asks for by default.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if access.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        _load_client_certificate(context, access)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ValidationError(f"the certificates for {access.server} cannot be used: {error}") from error
    return context


def _load_client_certificate(context: ssl.SSLContext, access: ClusterAccess) -> None:
    """The ssl module takes files only: data goes through files that only we can read, and only for this moment."""
    with ExitStack() as stack:
        cert = _as_file(stack, access.client_cert_data, access.client_cert_file)
        key = _as_file(stack, access.client_key_data, access.client_key_file)
        if cert is not None:
            context.load_cert_chain(cert, key)


def _as_file(stack: ExitStack, data: bytes | None, path: str | None) -> str | None:
    if data is None:
        return path
    file = stack.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115
    file.write(data)
    file.flush()
    return file.name


class AccessToken:
    """The token of `access`: read again when its file changes, looked at every `TOKEN_AGE`."""

    def __init__(self, access: ClusterAccess, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._cached: str | None = None
        self._looked_at = 0.0

    def __call__(self) -> str | None:
        """The token of the moment. Raises CredentialsError where its file cannot be read and none is known."""
        path = self._access.token_file
        if self._access.token is not None or path is None:
            return self._access.token
        now = self._clock.monotonic()
        if self._cached is None or now - self._looked_at >= TOKEN_AGE.total_seconds():
            self._cached = self._read(path) or self._cached
            self._looked_at = now
        if self._cached is None:
            raise CredentialsError(f"Kubernetes: the token file {path} cannot be read, or is empty")
        return self._cached

    def drop(self, refused: str) -> bool:
        """The server does not take this token: read the file, unless that was done since. False: there is no other."""
        path = self._access.token_file
        if self._access.token is not None or path is None:
            return False
        if self._cached == refused:
            self._cached = self._read(path) or refused
            self._looked_at = self._clock.monotonic()
        return self._cached != refused

    @staticmethod
    def _read(path: str) -> str | None:
        """A file that is away for a moment (kubelet swaps a link) is no reason to forget a good token."""
        try:
            return Path(path).read_text(encoding="ascii").strip() or None
        except (FileNotFoundError, PermissionError, UnicodeDecodeError):
            return None


@asynccontextmanager
async def open_cluster(
    access: ClusterAccess,
    clock: Clock,
    *,
    observer: Observer | None = None,
    timeout: timedelta = timedelta(seconds=10),
    field_manager: str = "devops-reconciler",
    agent: str = "devops-reconciler",
) -> AsyncIterator[Kubernetes]:
    """A client on pools of its own: one for requests, one for watches. Both are closed at the end.

    Requests have the connections by urgency. A pass that waits for one keeps its slot: they are what all passes need.
    """
    tls = ssl_context(access)
    requests = AiohttpTransport(connections=access.connections, tls=tls, agent=agent)
    watches = AiohttpTransport(connections=WATCH_CONNECTIONS, tls=tls, agent=agent)
    places = Slots(access.connections, aside=False, arrivals=1)  # others could hang, and the Lease has to be renewed
    http = Http(SERVICE, access.server, requests, clock, timeout=timeout, observer=observer, places=places)
    streams = Http(SERVICE, access.server, watches, clock, timeout=timeout, observer=observer)
    try:
        yield Kubernetes(http, token=AccessToken(access, clock), streams=streams, field_manager=field_manager)
    finally:
        await requests.close()
        await watches.close()
