"""What happens inside a build: clone the revision, read the Jenkinsfile, push an image.

The Jenkinsfile is not interpreted. It must exist at the revision, its `parameters {}` count, and these lines steer it:
`// standin: fail`, `unstable`, `no-push`, `slow SECONDS`, `stubborn` (ignores stop), `parameters [NAME=default …]`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from devops_reconciler.runtime.clock import Clock

from .jenkins_model import StoredBuild, StoredCredential, StoredItem, StoredStage
from .oci import DEFAULT_REGISTRY, Pusher, PushError, build_image, target_of

Credentials = Callable[[str], StoredCredential | None]
VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
DIRECTIVE = re.compile(r"^\s*//\s*standin:\s*(\S+)[ \t]*(.*)$", re.MULTILINE)
COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
DECLARED = re.compile(r"\bparameters\s*\{(.*?)\}", re.DOTALL)
STRING = re.compile(r"""string\s*\(\s*name:\s*['"](\w+)['"](?:\s*,\s*defaultValue:\s*['"]([^'"]*)['"])?""")


class BuildFailed(Exception):
    """The build ends with FAILURE; the text goes into its log."""


@dataclass(frozen=True)
class Timing:
    """How long a build takes. 0: it answers at once."""

    build: timedelta
    default_registry: str = DEFAULT_REGISTRY
    registry_credential: str = "registry"


@dataclass(frozen=True)
class Checkout:
    commit: str
    tree: str
    jenkinsfile: str


class Run:
    """One execution of a pipeline job."""

    def __init__(
        self, build: StoredBuild, job: StoredItem, credentials: Credentials, timing: Timing, clock: Clock
    ) -> None:
        self._build = build
        self._job = job
        self._credentials = credentials
        self._timing = timing
        self._clock = clock

    async def execute(self) -> None:
        """Run to the end. The result is in the build; cancelling means stop."""
        build = self._build
        build.say("Started by user operator")
        try:
            build.say("[Pipeline] Start of Pipeline")
            await self._stages()
            build.result = build.result or "SUCCESS"
        except BuildFailed as error:
            build.say(f"ERROR: {error}")
            build.result = "FAILURE"
        except asyncio.CancelledError:
            build.say("Aborted by operator")
            build.result = "ABORTED"
        except Exception:
            build.result = "FAILURE"
            raise
        finally:
            self._close()

    def _close(self) -> None:
        build, now = self._build, self._clock.now()
        for stage in build.stages:
            if stage.ended_at is None:
                stage.status = "ABORTED" if build.result == "ABORTED" else "FAILED"
                stage.ended_at = now
        build.say("[Pipeline] End of Pipeline")
        build.say(f"Finished: {build.result}")
        build.duration = max(now - build.started_at, timedelta(milliseconds=1))
        build.building = False
        build.ended.set()

    async def _stages(self) -> None:
        checkout = await self._stage("Checkout", self._check_out)
        directives = dict(DIRECTIVE.findall(checkout.jenkinsfile))
        self._declare(checkout.jenkinsfile, directives)
        await self._stage("Build", lambda: self._work(directives))
        if "no-push" not in directives:
            await self._stage("Push", lambda: self._push(checkout))

    async def _stage(self, name: str, work: Callable[[], Awaitable[Checkout | None]]) -> Checkout:
        stage = StoredStage(name, self._clock.now())
        self._build.stages.append(stage)
        self._build.say("[Pipeline] stage")
        self._build.say(f"[Pipeline] {{ ({name})")
        found = await work()
        stage.status = "UNSTABLE" if self._build.result == "UNSTABLE" and name == "Build" else "SUCCESS"
        stage.ended_at = self._clock.now()
        self._build.say("[Pipeline] }")
        return found or Checkout("", "", "")

    def _declare(self, jenkinsfile: str, directives: Mapping[str, str]) -> None:
        """A Jenkinsfile that declares parameters replaces the job's definitions when it runs."""
        block = DECLARED.search(COMMENT.sub("", jenkinsfile))
        if block is not None:
            self._job.declare(dict(STRING.findall(block[1])))
        elif "parameters" in directives:
            pairs = (each.partition("=") for each in directives["parameters"].split())
            self._job.declare({name: default for name, _, default in pairs})

    async def _check_out(self) -> Checkout:
        definition, scm = self._job.config.find("definition"), self._job.config.find("definition/scm")
        if definition is None or scm is None:
            raise BuildFailed("the job has no definition from SCM")
        url = scm.findtext("userRemoteConfigs/hudson.plugins.git.UserRemoteConfig/url") or ""
        credentials_id = scm.findtext("userRemoteConfigs/hudson.plugins.git.UserRemoteConfig/credentialsId") or ""
        branch = scm.findtext("branches/hudson.plugins.git.BranchSpec/name") or ""
        revision = self._expand(branch)
        credential = self._credentials(credentials_id) if credentials_id else None
        if credentials_id and credential is None:
            self._build.say(f'Warning: CredentialId "{credentials_id}" could not be found.')
        with tempfile.TemporaryDirectory(prefix="standin-jenkins-") as directory:
            repository = Repository(directory, url, credential)
            self._build.say(f"Cloning repository {url}")
            await repository.clone()
            script = definition.findtext("scriptPath") or "Jenkinsfile"
            found = await repository.read(revision, script)
        self._build.revision = found.commit
        self._build.say(f"Checking out Revision {found.commit} (detached)")
        return found

    def _expand(self, text: str) -> str:
        """${NAME} from the build's parameters; an unknown one stays as it is."""
        return VARIABLE.sub(lambda found: self._build.parameters.get(found[1] or found[2], found[0]), text)

    async def _work(self, directives: Mapping[str, str]) -> None:
        build = self._build
        build.stubborn = "stubborn" in directives
        build.say("+ ./build.sh")
        seconds = self._timing.build + timedelta(seconds=float(directives.get("slow") or 0))
        for step in range(1, 5):
            if seconds > timedelta(0):
                await self._clock.sleep(seconds / 4)
            build.say(f"built {step * 25}%")
        if "fail" in directives:
            raise BuildFailed("script returned exit code 1")
        if "unstable" in directives:
            build.say("Tests failed: the build is unstable")
            build.result = "UNSTABLE"

    async def _push(self, checkout: Checkout) -> None:
        parameters = self._build.parameters
        repository, tag = parameters.get("IMAGE_REPOSITORY"), parameters.get("IMAGE_TAG")
        if not repository or not tag:
            raise BuildFailed("IMAGE_REPOSITORY or IMAGE_TAG is not set")
        credential = self._credentials(self._timing.registry_credential)
        account = (credential.username, credential.secret) if credential is not None else (None, None)
        image = build_image(
            checkout.commit, {"revision": checkout.commit.encode() + b"\n", "tree": checkout.tree.encode() + b"\n"}
        )
        self._build.say(f"+ docker push {repository}:{tag}")
        try:
            target = target_of(repository, self._timing.default_registry)
            self._build.digest = await Pusher(target, *account).push(image, tag)
        except (PushError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BuildFailed(f"docker push: {error or type(error).__name__}") from error
        self._build.image = f"{repository}:{tag}"
        self._build.say(f"{tag}: digest: {self._build.digest}")


class Repository:
    """A bare clone in a directory of its own. The credential goes through the environment, so no log shows it."""

    def __init__(self, directory: str, url: str, credential: StoredCredential | None) -> None:
        self._directory = directory
        self._url = url
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": directory,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        if credential is not None:
            pair = base64.b64encode(f"{credential.username}:{credential.secret}".encode()).decode()
            self._environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "http.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {pair}",
            }

    async def clone(self) -> None:
        status, _, error = await self._git("clone", "--quiet", "--bare", "--", self._url, f"{self._directory}/r")
        if status != 0:
            raise BuildFailed(f"Error cloning remote repo 'origin': {error.decode(errors='replace').strip()}")

    async def read(self, revision: str, script: str) -> Checkout:
        names = [f"{revision}^{{commit}}", f"{revision}^{{tree}}"]
        where = ("--git-dir", f"{self._directory}/r")
        status, ids, _ = await self._git(*where, "rev-parse", "--verify", "--end-of-options", names[0])
        if status != 0:
            raise BuildFailed(
                "Couldn't find any revision to build. Verify the repository and branch configuration for this job."
            )
        commit = ids.decode().split()[-1]
        _, tree, _ = await self._git(*where, "rev-parse", f"{commit}^{{tree}}")
        status, content, _ = await self._git(*where, "show", f"{commit}:{script}")
        if status != 0:
            raise BuildFailed(f"Unable to find {script} from git {self._url}")
        return Checkout(commit, tree.decode().strip(), content.decode(errors="replace"))

    async def _git(self, *arguments: str) -> tuple[int, bytes, bytes]:
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, error = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, out, error
