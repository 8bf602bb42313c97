#!/usr/bin/env bash
# The wider suite: umpio against peers from outside. Needs target/release/umpio (or $UMPIO)
# and a Debian with python3. The machines of the lab come as Debian packages, unpacked under
# target/lab (or $UMPIO_LAB): nothing is installed for them, so the host's qemu does not matter.
# tgt, istgt, libiscsi's tools and PyPI's spdk client are installed where they are missing, which
# takes root. Where something cannot be had the suite says SKIPPED; UMPIO_LAB_REQUIRED=1 makes that
# a failure. About a quarter of an hour.
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
echo "== umpio's iSCSI initiator against LIO"
tests/lio.sh
echo "== Linux's own initiator and dm-multipath against umpio's iSCSI target"
tests/open_iscsi.sh
