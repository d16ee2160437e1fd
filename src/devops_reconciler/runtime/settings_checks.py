"""What single values cannot show: variables that need each other, that exclude each other, that nobody reads."""

import difflib
from collections.abc import Collection, Iterable, Mapping

from .settings_sources import SECRETS_DIR, Given, Problem, is_service_link

PAIRS = (
    ("RABBITMQ_USERNAME", "RABBITMQ_PASSWORD"),
    ("JENKINS_USERNAME", "JENKINS_TOKEN"),
    ("ARGOCD_USERNAME", "ARGOCD_PASSWORD"),
    ("DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN"),
    ("REGISTRY_PUSH_USERNAME", "REGISTRY_PUSH_TOKEN"),
    ("GODADDY_API_KEY", "GODADDY_API_SECRET"),
    ("JENKINS_GIT_USERNAME", "JENKINS_GIT_TOKEN"),
)
"""Logins: each half is useless without the other."""

OUR_PREFIXES = (
    "RECONCILER_",
    "RABBITMQ_",
    "JENKINS_",
    "ARGOCD_",
    "DOCKERHUB_",
    "REGISTRY_",
    "GODADDY_",
    "DNS_",
    "DEFAULT_GIT_",
    "GIT_ALLOWED_",
    "INGRESS_",
    "BREAKER_",
    "RETRY_",
    "HEARTBEAT_",
)
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})
_NEAR = 0.85
"""How alike a name without one of our prefixes must be to one of ours to be taken for a slip of the pen."""


def combination_problems(given: Mapping[str, Given], unreadable: Collection[str]) -> list[Problem]:
    """Variables that make no sense as they are combined. `unreadable` ones are set, though their value is not known."""
    present = set(given) | set(unreadable)
    problems = []
    for first, second in PAIRS:
        if len({first, second} & present) == 1:
            there, missing = (first, second) if first in present else (second, first)
            problems.append(Problem(missing, f"is not set, but {there} is", "set both, or neither"))
    if {"DNS_TXT_PREFIX", "DNS_TXT_SUFFIX"} <= present:
        problems.append(Problem("DNS_TXT_SUFFIX", "excludes DNS_TXT_PREFIX, as in external-dns", "set one of them"))
    return problems


def doubts(given: Mapping[str, Given]) -> list[str]:
    """Combinations that are possible, but probably not meant."""

    def text(variable: str) -> str:
        return given[variable].text.strip().lower() if variable in given else ""

    result = []
    if not {"ARGOCD_TOKEN", "ARGOCD_USERNAME", "ARGOCD_PASSWORD"} & set(given) and text("ARGOCD_ENDPOINT"):
        result.append("Argo CD is called without login: set ARGOCD_TOKEN, or ARGOCD_USERNAME and ARGOCD_PASSWORD")
    if {"ARGOCD_TOKEN", "ARGOCD_PASSWORD"} <= set(given):
        result.append("ARGOCD_PASSWORD is not used, because ARGOCD_TOKEN is set too")
    if _on(text("ARGOCD_INSECURE")) and text("ARGOCD_ENDPOINT").startswith("http:"):
        result.append("ARGOCD_INSECURE has no effect, because ARGOCD_ENDPOINT is plain http")
    if _on(text("RABBITMQ_TLS")) and text("RABBITMQ_PORT") == "5672":
        result.append("RABBITMQ_TLS is on, but 5672 is by custom the port without TLS (with TLS: 5671)")
    if not _on(text("RABBITMQ_TLS")) and text("RABBITMQ_PORT") == "5671":
        result.append("RABBITMQ_TLS is off, but 5671 is by custom the port with TLS: set RABBITMQ_TLS=true")
    if text("OTEL_EXPORTER_OTLP_ENDPOINT").endswith(":4317"):
        result.append(
            "OTEL_EXPORTER_OTLP_ENDPOINT has 4317, by custom the port of OTLP over gRPC: traces go over HTTP (4318)"
        )
    if "GODADDY_API_KEY" in given and "DNS_ALLOWED_ZONES" not in given:
        result.append("DNS_ALLOWED_ZONES is not set: no DNS record can be made")
    watched = list(dict.fromkeys(filter(None, map(str.strip, text("RECONCILER_NAMESPACES").split(",")))))
    listed = {part.rpartition("=")[0].strip() for part in text("ALLOWED_DESTINATIONS").split(";")}
    bare = [name for name in watched if name not in listed]
    if len(watched) > 1 and bare:
        result.append(
            f"ALLOWED_DESTINATIONS has no entry of its own for {' and '.join(bare)}: the names of projects there may "
            "lead into what other teams have, and namespaces that are there already are taken as they are; set "
            f"ALLOWED_DESTINATIONS={';'.join(f'{name}=PATTERNS' for name in watched)}, with patterns that share no name"
        )
    return result


def ignored_proxies(environ: Mapping[str, str]) -> list[str]:
    """A warning for each variable that names a proxy. Its value may hold a password, and is not shown."""
    return [
        f"{variable} is ignored: requests and git go to their services directly"
        for variable in sorted(environ)
        if variable.upper() in PROXIES and environ[variable].strip()
    ]


def unknown_files(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """A warning for each file of the directory of values that no variable is named like, with the nearest one."""
    variables = sorted(known)
    result = []
    for name in names:
        if name in variables:
            continue
        nearest = difflib.get_close_matches(name.upper(), variables, 1, 0.6)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        result.append(f"the file {name} in {SECRETS_DIR} is not named like a variable of the operator{hint}")
    return result


def _on(text: str) -> bool:
    return text in {"true", "1", "yes", "on"}


def unknown_variables(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """A warning for each variable that looks like ours and is not, with the nearest one that is."""
    names = set(known) | {f"{name}_FILE" for name in known}
    result = []
    for variable in sorted(set(environ) - names):
        if is_service_link(variable) or variable.startswith(("OTEL_", "KUBERNETES_")):
            continue
        ours = variable.startswith(OUR_PREFIXES)
        nearest = difflib.get_close_matches(variable, sorted(names), 1, 0.6 if ours else _NEAR)
        if ours or nearest:
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            result.append(f"{variable} is not a variable of the operator{hint}")
    return result
