"""The sample project ``shop``: what a team keeps in Git so that the operator can build and run it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from testbed.git import git
from testbed.git_server import Credentials, GitServer, Repository

JENKINSFILE = """\
pipeline {
    agent any
    stages {
        stage('Test') {
            steps {
                sh 'make test'
            }
        }
        stage('Build') {
            steps {
                sh 'docker build --tag "$IMAGE_REPOSITORY:$IMAGE_TAG" .'
            }
        }
        stage('Push') {
            steps {
                withCredentials([usernamePassword(credentialsId: 'registry', usernameVariable: 'REGISTRY_USER',
                                                  passwordVariable: 'REGISTRY_TOKEN')]) {
                    sh 'echo "$REGISTRY_TOKEN" | docker login --username "$REGISTRY_USER" --password-stdin'
                    sh 'docker push "$IMAGE_REPOSITORY:$IMAGE_TAG"'
                }
            }
        }
    }
}
"""
DOCKERFILE = """\
FROM scratch
COPY shop /shop
ENTRYPOINT ["/shop"]
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      containers:
        - name: {name}
          image: {image}
          ports:
            - containerPort: 8080
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  selector:
    app: {name}
  ports:
    - port: 80
      targetPort: 8080
"""
KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - deployment.yaml
  - service.yaml
"""
PROJECT_FILE = """\
jenkins:
  scriptPath: Jenkinsfile
argo:
  path: deploy
"""


def files(name: str, image: str) -> dict[str, str]:
    """The files of a project of this name, by path; ``image`` is the image name in its manifests."""
    return {
        "Jenkinsfile": JENKINSFILE,
        "Dockerfile": DOCKERFILE,
        "Makefile": "test:\n\ttrue\n",
        "greeting.txt": f"Welcome to {name}.\n",
        "deploy/deployment.yaml": DEPLOYMENT.format(name=name, image=image),
        "deploy/service.yaml": SERVICE.format(name=name),
        "deploy/kustomization.yaml": KUSTOMIZATION,
        ".freeleaps.yaml": PROJECT_FILE,
    }


class SampleProject:
    """A repository with a working copy, in which a developer of the sample project works."""

    def __init__(self, repository: Repository, working_copy: Path) -> None:
        self.repository = repository
        self._copy = working_copy

    @classmethod
    async def create(
        cls, server: GitServer, name: str = "shop", image: str = "acme/shop", credentials: Credentials | None = None
    ) -> SampleProject:
        """Makes the repository on this server, with one commit on ``main``."""
        repository = await server.create(name, credentials)
        copy = server.folder / f"{name}-working-copy"
        await git("clone", "--quiet", str(repository.path), str(copy), cwd=server.folder)
        project = cls(repository, copy)
        await project.commit("Start the project", files(name, image))
        return project

    @property
    def url(self) -> str:
        """The address for ``spec.git.url``."""
        return self.repository.url

    async def commit(self, message: str, changes: Mapping[str, str | None], branch: str = "main") -> str:
        """Writes these files (``None`` removes one), commits and pushes; returns the full commit id.

        A branch that does not exist yet starts at ``main``.
        """
        await self._switch(branch)
        for name, text in changes.items():
            path = self._copy / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        await git("add", "--all", cwd=self._copy)
        await git("commit", "--quiet", "--allow-empty", f"--message={message}", cwd=self._copy)
        await git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", cwd=self._copy)
        return await git("rev-parse", "HEAD", cwd=self._copy)

    async def tag(self, name: str, revision: str = "main", message: str | None = None) -> str:
        """Makes a tag, annotated when it has a message, and pushes it; returns the commit that it stands for."""
        annotation = ["--annotate", f"--message={message}"] if message is not None else []
        await git("tag", *annotation, name, revision, cwd=self._copy)
        await git("push", "--quiet", "origin", f"refs/tags/{name}", cwd=self._copy)
        return await git("rev-parse", f"{name}^{{commit}}", cwd=self._copy)

    async def delete_branch(self, name: str) -> None:
        """Removes a branch from the server."""
        await git("push", "--quiet", "origin", f":refs/heads/{name}", cwd=self._copy)

    async def head(self, branch: str = "main") -> str:
        """The commit at the head of this branch on the server."""
        return await git("rev-parse", f"refs/heads/{branch}", cwd=self.repository.path)

    async def _switch(self, branch: str) -> None:
        known = await git("branch", "--list", branch, "--format=%(refname:short)", cwd=self._copy)
        if known:
            await git("checkout", "--quiet", branch, cwd=self._copy)
        elif branch != "main":
            await git("checkout", "--quiet", "-b", branch, "main", cwd=self._copy)
