#!/usr/bin/env bash
# The wider suite: umpio against peers from outside. Needs cargo, target/release/umpio (or $UMPIO)
# and a Debian with python3. The machines of the lab come as Debian packages, unpacked under
# target/lab (or $UMPIO_LAB): nothing is installed for them, so the host's qemu does not matter.
# Where something cannot be had the suite says SKIPPED; UMPIO_LAB_REQUIRED=1 makes that a failure.
# About fifteen minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "== the lab itself, asked by a client that is not umpio"
tests/nvmet.sh --selftest
echo "== umpio against the kernel's NVMe target"
tests/nvmet.sh
echo "== umpio's iSCSI initiator against tgt and istgt"
tests/iscsi_initiator.sh
echo "== umpio's iSCSI target against libiscsi and qemu"
tests/iscsi_target.sh
echo "== the control surface, asked by SPDK's own client"
tests/spdk_rpc.sh
echo "== the control surface from the service to the paths, under I/O and over restarts"
tests/control.sh
echo "== kill -9 at 200 points of persistence"
UMPIO_KILLS=200 cargo test -q --release --test daemon kills_lose_nothing -- --nocapture
echo "== umpio's iSCSI initiator against LIO"
tests/lio.sh
echo "== umpio's iSCSI target against open-iscsi and dm-multipath"
tests/open_iscsi.sh
echo "== umpio's iSCSI initiator against SPDK's iscsi_tgt"
tests/spdk_iscsi.sh
