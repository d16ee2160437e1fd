#!/usr/bin/env bash
# Installs what demo and tests need; does nothing where all is there already.
#
#   testbed/setup.sh python    the virtual environment .venv, with the packages of requirements-dev.txt
#   testbed/setup.sh           that, RabbitMQ, and the Kubernetes control plane
#   testbed/setup.sh tests     that, helm, Argo CD with kustomize and Redis, and what makes pods ready: scheduler and KWOK
#   testbed/setup.sh real      that, and a container registry
#   testbed/setup.sh bench     RabbitMQ, the control plane, and the operator in Go that the bench compares with
#
# PYTHON names the interpreter to make .venv with (default: python3). Everything is said on stderr: stdout belongs to
# the command that comes after.
set -euo pipefail
exec >&2
cd "$(dirname "$0")/.."

readonly VENV=.venv
readonly STAMP=$VENV/.requirements-installed

say() { echo "setup: $*"; }

fail() {
    echo "setup: $*"
    exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

apt_install() {
    say "installing $* with apt"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install --yes --no-install-recommends "$@" >/dev/null
}

make_venv() {
    local python=${PYTHON:-python3}
    command -v "$python" >/dev/null || fail "there is no '$python'. Install Python 3.11 or newer, or set PYTHON."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "'$python' is $("$python" -V); 3.11 or newer is needed. Set PYTHON to one: make PYTHON=python3.12 ..."
    # Debian keeps what venv needs in a package of its own.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        local package
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        is_root || fail "'$python' cannot make virtual environments. Run: sudo apt-get install $package"
        apt_install "$package"
    fi
    say "making $VENV with $("$python" -V)"
    "$python" -m venv "$VENV"
}

install_packages() {
    local wanted
    wanted=$(cat pyproject.toml requirements-dev.txt testbed/bootstrap.txt | sha256sum | cut -d' ' -f1)
    if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$wanted" ]; then
        return
    fi
    if ! "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        rm -rf "$VENV"
        make_venv
    fi
    if [ ! -x "$VENV/bin/uv" ]; then
        "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || "$VENV/bin/python" -m ensurepip >/dev/null
        say "installing uv"
        "$VENV/bin/python" -m pip install --quiet --require-hashes --requirement testbed/bootstrap.txt
    fi
    say "installing the packages of requirements-dev.txt"
    export VIRTUAL_ENV=$PWD/$VENV
    "$VENV/bin/uv" pip sync --quiet --require-hashes requirements-dev.txt
    "$VENV/bin/uv" pip install --quiet --no-deps --no-build-isolation --editable .
    echo "$wanted" >"$STAMP"
}

# apt starts the service of a package at once, unless this file, which apt asks, forbids it.
readonly POLICY=/usr/sbin/policy-rc.d

# A package of Debian's, without its service: only the program is used, by private processes.
#   install_program PROGRAM NAME PACKAGE
install_program() {
    [ -x "$1" ] && return
    is_root || fail "$2 is needed. Run: sudo apt-get install --no-install-recommends $3
       Its service is not: sudo systemctl disable --now $3"
    if [ ! -e "$POLICY" ]; then
        trap 'rm -f "$POLICY"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
        apt_install "$3"
        rm -f "$POLICY"
        trap - EXIT
    else
        apt_install "$3"
    fi
    # The service would start with the machine otherwise.
    if command -v systemctl >/dev/null; then
        systemctl --quiet disable "$3.service" >/dev/null 2>&1 || true
    fi
}

command -v git >/dev/null || fail "git is needed. Run: sudo apt-get install git"
install_packages
if [ "${1:-all}" != python ]; then
    install_program /usr/lib/rabbitmq/bin/rabbitmq-server RabbitMQ rabbitmq-server
    bundles=(kube)
    if [ "${1:-all}" = bench ]; then
        bundles+=(peer)
    elif [ "${1:-all}" != all ]; then
        install_program /usr/bin/redis-server Redis redis-server
        bundles+=(helm kustomize argocd scheduler kwok)
    fi
    [ "${1:-all}" != real ] || install_program /usr/bin/docker-registry "A container registry" docker-registry
    "$VENV/bin/python" -m testbed.build "${bundles[@]}" >/dev/null
    # Without it the tests of the alert rules are skipped, and say so.
    "$VENV/bin/python" -m testbed.promtool || true
fi
