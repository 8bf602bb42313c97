#!/usr/bin/env bash
# The wider suite: umpio against peers from outside. Needs target/release/umpio (or $UMPIO)
# and a Debian with python3; what else it takes comes as Debian packages, unpacked under
# target/lab (or $UMPIO_LAB): nothing is installed, so neither root nor the host's qemu
# matters. Where that cannot be had the suite says SKIPPED; UMPIO_LAB_REQUIRED=1 makes that
# a failure. About four minutes, a minute of it for the first build of the lab.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "== the lab itself, asked by a client that is not umpio"
tests/nvmet.sh --selftest
echo "== umpio against the kernel's NVMe target"
tests/nvmet.sh
echo "== umpio's iSCSI initiator against tgt and istgt"
tests/iscsi_initiator.sh
