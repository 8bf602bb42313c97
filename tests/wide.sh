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
echo "== the daemon asked by PyPI's spdk client"
tests/spdk_rpc.sh
echo "== 200 kills of the daemon lose nothing that was acknowledged"
UMPIO_KILLS=200 cargo test --release --test daemon kills_lose_nothing
echo "== libiscsi's suite and tools, and qemu-img, against umpio's iSCSI target"
tests/iscsi_target.sh
echo "== umpio's iSCSI initiator against tgt and istgt"
tests/iscsi_initiator.sh
