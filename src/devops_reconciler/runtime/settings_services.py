"""The variables of the services that the operator works with; see `settings_variables`."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from .settings_lists import AllowList
from .settings_types import (
    Allowed,
    Budget,
    Doc,
    Duration,
    Flag,
    GitHosts,
    Host,
    Namespace,
    Port,
    Resolvers,
    Secret,
    Text,
    TxtAffix,
    Url,
)
from .settings_variables import VariableGroup

DEFAULT_DOCKERHUB_ENDPOINT = "https://hub.docker.com"
DEFAULT_REGISTRY_ENDPOINT = "https://registry-1.docker.io"
DEFAULT_GODADDY_ENDPOINT = "https://api.godaddy.com"


class JenkinsVariables(VariableGroup):
    """Jenkins"""

    jenkins_endpoint: Annotated[Url, Doc("Root URL of Jenkins.", "https://jenkins.example.com")]
    jenkins_username: Annotated[Text | None, Doc("User at Jenkins.", "reconciler", "calls carry no login")] = None
    jenkins_token: Annotated[Secret | None, Doc("API token of that user.", "11aa…", "calls carry no login")] = None
    jenkins_request_budget: Annotated[Budget, Doc("Requests to Jenkins.", "300")] = 1200
    build_poll_interval: Annotated[Duration, Doc("Longest wait between two looks at a running build.", "10s")] = (
        timedelta(seconds=5)
    )
    build_timeout: Annotated[Duration, Doc("How long a build may take, waiting in the queue included.", "2h")] = (
        timedelta(hours=1)
    )


class ArgocdVariables(VariableGroup):
    """Argo CD"""

    argocd_endpoint: Annotated[Url, Doc("Root URL of Argo CD's API server.", "https://argocd.example.com")]
    argocd_token: Annotated[
        Secret | None, Doc("API token; used rather than user and password.", "eyJ…", "user and password")
    ] = None
    argocd_username: Annotated[Text | None, Doc("User at Argo CD.", "reconciler", "the token is used")] = None
    argocd_password: Annotated[Secret | None, Doc("Password of that user.", "s3cret", "the token is used")] = None
    argocd_insecure: Annotated[Flag, Doc("Takes Argo CD's certificate without checking it.", "true")] = False
    argocd_namespace: Annotated[Namespace, Doc("Namespace of Argo CD; never a destination.", "gitops")] = "argocd"
    argocd_request_budget: Annotated[Budget, Doc("Requests to Argo CD.", "300")] = 1200
    sync_poll_interval: Annotated[Duration, Doc("Longest wait between two looks at a running sync.", "10s")] = (
        timedelta(seconds=5)
    )
    sync_timeout: Annotated[Duration, Doc("How long a sync may take until it is healthy.", "30m")] = timedelta(
        minutes=15
    )


def _own_registry_namespace(values: dict[str, Any]) -> AllowList:
    namespace = values["dockerhub_namespace"]
    return AllowList(everywhere=(namespace,)) if namespace else AllowList()


class RegistryVariables(VariableGroup):
    """Docker Hub and its registry"""

    dockerhub_endpoint: Annotated[Url, Doc("Root URL of Docker Hub's API.", "https://hub.example.com")] = (
        DEFAULT_DOCKERHUB_ENDPOINT
    )
    dockerhub_username: Annotated[
        Text | None, Doc("The operator's account at Docker Hub and its registry.", "acmebot", "calls carry no login")
    ] = None
    dockerhub_token: Annotated[
        Secret | None,
        Doc("Access token of that account; never leaves the operator.", "dckr_pat_…", "calls carry no login"),
    ] = None
    dockerhub_namespace: Annotated[
        Text | None, Doc("Namespace of repositories of projects that name none.", "acme", "a project has to name one")
    ] = None
    allowed_registry_namespaces: Annotated[
        Allowed, Doc("Registry namespaces that projects may use.", "acme", "`DOCKERHUB_NAMESPACE`")
    ] = Field(default_factory=_own_registry_namespace)
    dockerhub_request_budget: Annotated[Budget, Doc("Requests to Docker Hub's API.", "120")] = 180
    registry_endpoint: Annotated[
        Url,
        Doc(
            "Root URL of the registry; any but the default stands in the image's name.", "https://registry.example.com"
        ),
    ] = DEFAULT_REGISTRY_ENDPOINT
    registry_push_username: Annotated[
        Text | None, Doc("Account that Jenkins pushes images with.", "acmepush", "a project has to bring its own")
    ] = None
    registry_push_token: Annotated[
        Secret | None, Doc("Access token of that account.", "dckr_pat_…", "a project has to bring its own")
    ] = None
    registry_request_budget: Annotated[Budget, Doc("Requests to the registry.", "300")] = 600

    @property
    def known_registry_namespaces(self) -> tuple[str, ...]:
        """The registry namespaces that are known by name, that of projects which name none first."""
        own = (self.dockerhub_namespace,) if self.dockerhub_namespace else ()
        return tuple(dict.fromkeys((*own, *self.allowed_registry_namespaces.names())))

    @property
    def hub_is_default(self) -> bool:
        """Whether repositories are made at Docker Hub itself, whose pages have known addresses."""
        return self.dockerhub_endpoint == DEFAULT_DOCKERHUB_ENDPOINT


class DnsVariables(VariableGroup):
    """GoDaddy and DNS"""

    godaddy_endpoint: Annotated[Url, Doc("Root URL of GoDaddy's API.", "https://api.ote-godaddy.com")] = (
        DEFAULT_GODADDY_ENDPOINT
    )
    godaddy_api_key: Annotated[Secret | None, Doc("API key at GoDaddy.", "dLf3…", "no record can be made")] = None
    godaddy_api_secret: Annotated[Secret | None, Doc("Secret of that key.", "s3cret", "no record can be made")] = None
    godaddy_request_budget: Annotated[Budget, Doc("Requests to each of GoDaddy's endpoints.", "30")] = 60
    dns_allowed_zones: Annotated[
        Allowed,
        Doc("Zones that projects may have records in.", "example.com;team-a=a.example.net", "no record can be made"),
    ] = AllowList()
    dns_resolvers: Annotated[
        Resolvers, Doc("Nameservers that records are proven at.", "198.51.100.1:53", "the zone's nameservers")
    ] = ()
    dns_txt_prefix: Annotated[
        TxtAffix, Doc("What the name of a TXT mark begins with, as in external-dns.", "extdns-", "nothing")
    ] = ""
    dns_txt_suffix: Annotated[
        TxtAffix, Doc("What the first label of a TXT mark ends with, as in external-dns.", "-extdns", "nothing")
    ] = ""
    dns_txt_wildcard_replacement: Annotated[
        TxtAffix, Doc("What stands for `*` in the name of a TXT mark, as in external-dns.", "any", "the `*` stays")
    ] = ""
    dns_txt_owner_id: Annotated[
        Text | None, Doc("Owner in TXT marks, as in external-dns.", "prod-eu-1", "the cluster's identity")
    ] = None
    dns_poll_interval: Annotated[Duration, Doc("Longest wait between two looks for a new record.", "10s")] = timedelta(
        seconds=5
    )
    dns_timeout: Annotated[Duration, Doc("How long a record may take until every nameserver gives it.", "20m")] = (
        timedelta(minutes=10)
    )


class GitVariables(VariableGroup):
    """Git"""

    default_git_username: Annotated[Text, Doc("User at the Git hosts for projects that bring no login.", "reconciler")]
    default_git_token: Annotated[
        Secret | None,
        Doc("Token of that user; never leaves the operator.", "ghp_…", "repositories are read without login"),
    ] = None
    jenkins_git_username: Annotated[
        Text | None, Doc("User that Jenkins clones with, read-only.", "jenkins-ro", "Jenkins clones without login")
    ] = None
    jenkins_git_token: Annotated[Secret | None, Doc("Token of that user.", "ghp_…", "Jenkins clones without login")] = (
        None
    )
    git_allowed_hosts: Annotated[
        GitHosts,
        Doc("Where repositories may be; plain http only where written so.", "git.example.com", "every host, by https"),
    ] = ()


class AddressVariables(VariableGroup):
    """Addresses and destinations"""

    ingress_target: Annotated[
        Host | None, Doc("Address or name that records point to.", "203.0.113.7", "a project has to name it")
    ] = None
    ingress_class: Annotated[Text | None, Doc("Class of each Ingress.", "nginx", "the cluster's default class")] = None
    ingress_http_port: Annotated[Port, Doc("Port of the ingress that plain addresses are probed at.", "8080")] = 80
    ingress_https_port: Annotated[Port, Doc("Port of the ingress that TLS addresses are probed at.", "8443")] = 443
    allowed_destinations: Annotated[
        Allowed,
        Doc("Namespaces that projects may deploy to.", "team-a=shop,shop-*", "the project's name and `<project>-*`"),
    ] = AllowList()
