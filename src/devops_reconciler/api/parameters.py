"""Names that no build parameter may have: Jenkins hands each parameter to builds as an environment variable.

Also to what it runs itself, on its controller: the git that reads the Jenkinsfile, ssh, the shell of each step. Jenkins
takes names of the environment without regard to case (hudson/EnvVars.java), and so do these lists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RESERVED_PARAMETERS = ("DEPLOYMENT_UID", "GIT_REVISION", "IMAGE_REPOSITORY", "IMAGE_TAG")
"""Build parameters that the operator sets itself."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Names that are refused for one reason; `X_*` stands for every name that begins with `X_`."""

    names: tuple[str, ...]
    says: str
    """Why, and what to do."""

    @property
    def pattern(self) -> str:
        """For Python and for the API server: the whole name, in any case."""
        return f"^(?i:{'|'.join(name.replace('*', '.*') for name in self.names)})$"

    def check(self, name: str) -> None:
        """Raise ValueError for a name of the list."""
        if re.fullmatch(self.pattern, name):
            raise ValueError(self.says)

    def rule(self) -> dict[str, str]:
        """The same for the keys of a map, as a rule of the API server."""
        return {"rule": f"self.all(k, !k.matches(r'{self.pattern}'))", "message": self.says}


def _shown(names: tuple[str, ...]) -> str:
    shown = [name.replace("*", "…") for name in names]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


# Not ENV: only interactive shells read the file that it names, and many a Jenkinsfile asks for `ENV=production`.
_TOOLS = (
    *("PATH", "PATHEXT", "HOME", "USERPROFILE", "XDG_*", "TMP", "TEMP", "TMPDIR"),
    *("BASH_*", "BASHOPTS", "SHELL", "SHELLOPTS", "IFS", "PS4", "COMSPEC", "SYSTEMROOT"),
    *("LD_*", "DYLD_*", "GCONV_PATH", "LOCPATH"),
    *("JAVA_HOME", "JAVA_OPTS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONWARNINGS", "PYTHONBREAKPOINT"),
    *("PERL5LIB", "PERL5OPT", "PERL5DB", "PERLLIB", "RUBYOPT", "RUBYLIB", "NODE_OPTIONS", "NODE_PATH"),
)
_GIT = (
    *("GIT_*", "SSH_*", "GNUPGHOME", "PAGER", "EDITOR", "VISUAL"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "CURL_CA_BUNDLE", "CURL_HOME", "OPENSSL_*"),
)
_JENKINS = (
    *("JENKINS_*", "HUDSON_*", "WORKSPACE", "WORKSPACE_*", "EXECUTOR_NUMBER", "NODE_NAME", "NODE_LABELS"),
    *("BUILD_ID", "BUILD_NUMBER", "BUILD_TAG", "BUILD_URL", "BUILD_DISPLAY_NAME"),
    *("JOB_NAME", "JOB_BASE_NAME", "JOB_URL", "BRANCH_NAME", "STAGE_NAME"),
)

REFUSED = (
    Refused(RESERVED_PARAMETERS, f"{', '.join(RESERVED_PARAMETERS)} are set by the operator: choose another name"),
    Refused(
        _TOOLS,
        "a build parameter is an environment variable of what Jenkins runs, and these change which programs and "
        f"libraries that takes: {_shown(_TOOLS)}, in any case; choose another name, or set it in the Jenkinsfile",
    ),
    Refused(
        _GIT,
        "a build parameter is an environment variable of the git of Jenkins, and these change what that runs, trusts "
        f"and tells whom: {_shown(_GIT)}, in any case; choose another name, or set it in the Jenkinsfile",
    ),
    Refused(_JENKINS, f"{_shown(_JENKINS)} are set by Jenkins, in any case: choose another name"),
)
"""Every list of names, each with its reason."""
