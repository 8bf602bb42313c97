#!/usr/bin/env bash
# The wider suite: umpio against peers from outside. Needs target/release/umpio (or $UMPIO)
# and a Debian with python3. The machines of the lab come as Debian packages, unpacked under
# target/lab (or $UMPIO_LAB): nothing is installed for them, so the host's qemu does not matter.
# Where something cannot be had the suite says SKIPPED; UMPIO_LAB_REQUIRED=1 makes that a failure.
# About four minutes. Not part of it yet, to be run by hand: tests/iscsi_initiator.sh (tgt, istgt),
# iscsi_target.sh (libiscsi), lio.sh, open_iscsi.sh and spdk_rpc.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "== the lab itself, asked by a client that is not umpio"
tests/nvmet.sh --selftest
echo "== umpio against the kernel's NVMe target"
tests/nvmet.sh
