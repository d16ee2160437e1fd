#!/usr/bin/env bash
# Builds the image of the operator by the Containerfile, and asks what came of it, without any registry of images.
#
#   testbed/image.sh [TAG]      default: localhost/devops-reconciler:trial
#
# BASE names the image to build on. Where it is not set, one is made of Debian's packages: bookworm with its Python 3.11,
# in the place of python:3.11-slim-bookworm. Root and apt are needed; images are kept by buildah, in its own storage.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TAG=${1:-localhost/devops-reconciler:trial}
readonly OWN_BASE=localhost/devops-reconciler-base:bookworm
# In a machine without overlay file systems or user namespaces, too.
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=chroot

say() { echo "image: $*" >&2; }

if ! command -v buildah >/dev/null || ! command -v mmdebstrap >/dev/null; then
    [ "$(id -u)" -eq 0 ] || { say "buildah is needed. Run: sudo apt-get install buildah mmdebstrap crun"; exit 1; }
    say "installing buildah, mmdebstrap and crun with apt"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends buildah mmdebstrap crun >/dev/null
fi

FOLDER=$(mktemp -d)
CONTAINER=
finish() {
    [ -z "$CONTAINER" ] || buildah rm "$CONTAINER" >/dev/null
    rm -rf "$FOLDER"
}
trap finish EXIT

if [ -z "${BASE:-}" ] && ! buildah inspect --type image "$OWN_BASE" >/dev/null 2>&1; then
    say "making $OWN_BASE of Debian's packages (a minute)"
    mmdebstrap --quiet --variant=apt --include=python3,python3-venv,ca-certificates bookworm "$FOLDER/base.tar"
    CONTAINER=$(buildah from scratch)
    buildah add --quiet "$CONTAINER" "$FOLDER/base.tar" / >/dev/null
    buildah run "$CONTAINER" -- ln -s python3 /usr/bin/python
    buildah commit --quiet --rm "$CONTAINER" "$OWN_BASE" >/dev/null
    CONTAINER=
fi

# As this machine: whom it trusts, and where its pip looks.
volumes=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
[ ! -f /etc/pip.conf ] || volumes+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
say "building $TAG"
buildah build --quiet --build-arg "BASE=${BASE:-$OWN_BASE}" "${volumes[@]}" --file Containerfile --tag "$TAG" . >/dev/null

say "asking it"
CONTAINER=$(buildah from "$TAG")
buildah run "$CONTAINER" -- sh -euc '
    test "$(id -u)" = 10001
    if touch /written 2>/dev/null; then echo "its user may write to /"; exit 1; fi
    if python -m pip --version 2>/dev/null; then echo "pip is left in it"; exit 1; fi
    tini --version
    git --version
    devops-reconciler config reference | head -1
    devops-reconciler crds | grep --count "^kind: CustomResourceDefinition$"'
said=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$TAG")
[ "$said" = 10001:10001 ] || { say "it is to run as '$said'"; exit 1; }
say "$(buildah images --format '{{.Name}}:{{.Tag}}, {{.Size}}' "$TAG")"
