#!/usr/bin/env bash
# umpio's iSCSI initiator against Debian's tgt and istgt, each on two portals: verified I/O of 512 B
# to 1 MiB, digests off and on, immediate data, unsolicited data and R2Ts, CHAP right and wrong.
# Needs target/release/umpio (or $UMPIO), root for apt, and the packages tgt and istgt (installed
# when they are missing). Where they cannot be had it says SKIPPED; UMPIO_LAB_REQUIRED=1 makes that a
# failure. Under a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
umpio=${UMPIO:-target/release/umpio}
skip() {
    echo "SKIPPED: $*"
    [ "${UMPIO_LAB_REQUIRED:-0}" = 0 ] || exit 1
    exit 0
}
[ -x "$umpio" ] || skip "no $umpio"
if ! command -v tgtd >/dev/null || ! command -v istgt >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends tgt istgt >/dev/null 2>&1 ||
        skip "the packages tgt and istgt cannot be installed"
fi
work=$(mktemp -d)
tgt_pid= istgt_pid=
finish() {
    [ -z "$tgt_pid" ] || kill -9 "$tgt_pid" 2>/dev/null || true
    [ -z "$istgt_pid" ] || kill -9 "$istgt_pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
tp=$(port) ip=$(port) ip2=$(port) ip3=$(port) cp=$(port) ctl=$((RANDOM % 20000 + 100))
adm() { tgtadm -C "$ctl" --lld iscsi "$@"; }

truncate -s 64M "$work/tgt.img" "$work/istgt.img"
mkdir -p /run/tgtd 2>/dev/null || skip "tgtd needs /run/tgtd, which cannot be made here"
tgtd -f -C "$ctl" --iscsi "portal=127.0.0.1:$tp" >"$work/tgt.log" 2>&1 &
tgt_pid=$!
for _ in $(seq 100); do adm --op show --mode sys >/dev/null 2>&1 && break; sleep 0.1; done
iqn=iqn.2026-01.org.umpio.test
adm --op new --mode portal --param "portal=127.0.0.2:$tp"
adm --op new --mode target --tid 1 -T "$iqn:tgt"
adm --op new --mode logicalunit --tid 1 --lun 1 -b "$work/tgt.img"
adm --op update --mode logicalunit --tid 1 --lun 1 --params scsi_sn=umpio-test-1,thin_provisioning=1
adm --op bind --mode target --tid 1 -I ALL

printf '[AuthGroup1]\n  Auth "nobody" "nosecret12345"\n' >"$work/auth.conf"
chmod 600 "$work/auth.conf"
cat >"$work/istgt.conf" <<CONF
[Global]
  NodeBase "$iqn"
  PidFile $work/istgt.pid
  AuthFile $work/auth.conf
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions 16
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  DefaultTime2Wait 2
  DefaultTime2Retain 60
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0
[UnitControl]
  AuthMethod None
  Portal UC1 127.0.0.1:$cp
  Netmask 127.0.0.0/8
[PortalGroup1]
  Portal DA1 127.0.0.1:$ip
  Portal DA3 127.0.0.3:$ip3
[PortalGroup2]
  Portal DA2 127.0.0.2:$ip2
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.0/8
[LogicalUnit1]
  TargetName istgt
  Mapping PortalGroup1 InitiatorGroup1
  Mapping PortalGroup2 InitiatorGroup1
  AuthMethod None
  AuthGroup AuthGroup1
  UseDigest Auto
  UnitType Disk
  UnitInquiry "UMPIO" "ISTGT" "0001" "umpio-test-2"
  QueueDepth 64
  LUN0 Storage $work/istgt.img Auto
CONF
istgt -D -c "$work/istgt.conf" >"$work/istgt.log" 2>&1 &
istgt_pid=$!
for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$ip") 2>/dev/null && break; sleep 0.1; done
(exec 3<>"/dev/tcp/127.0.0.1/$ip") 2>/dev/null || { echo "FAIL istgt does not listen"; cat "$work/istgt.log"; exit 1; }

bench() {
    local name=$1
    shift
    if "$umpio" bench --runtime 1 --verify --destroy --json "$@" >"$work/out.json" 2>"$work/err"; then
        python3 - "$work/out.json" "$name" <<'PY'
import json, sys
o = json.load(open(sys.argv[1]))
read = o["iops"]
assert o["errors"] == 0 and o["miscompares"] == 0, o
assert all(p["ios"] > 0 for p in o["paths"]), o["paths"]
print(f"ok   {sys.argv[2]}: {read:.0f} IOPS over {len(o['paths'])} path(s)")
PY
    else
        echo "FAIL $name"
        cat "$work/err"
        exit 1
    fi
}
refused() {
    local name=$1 text=$2
    shift 2
    if "$umpio" bench --runtime 1 "$@" >"$work/out" 2>&1; then
        echo "FAIL $name: it should have been refused"
        exit 1
    fi
    grep -q "$text" "$work/out" || { echo "FAIL $name: no '$text' in:"; cat "$work/out"; exit 1; }
    echo "ok   $name"
}
matrix() {
    local name=$1 a=$2 b=$3
    for bs in 512 4k 64k 1M; do
        bench "$name $bs" --path "$a" --path "$b" --bs $bs --rw randrw --iodepth 8
    done
    bench "$name many small writes" --path "$a" --bs 512 --rw randwrite --iodepth 64
    bench "$name no immediate data, R2Ts of 8 KiB" --bs 256k --rw randrw --iodepth 8 \
        --path "$a?immediate_data=0&initial_r2t=1&max_burst=8192&first_burst=4096"
    bench "$name small Data-In" --bs 1M --rw randrw --iodepth 4 --path "$a?max_recv=4096"
    bench "$name unsolicited data" --bs 1M --rw randrw --iodepth 16 \
        --path "$a?immediate_data=1&initial_r2t=0&max_burst=262144&first_burst=131072"
    refused "$name unknown target" "no such target" --path "${a%/*/*}/$iqn:nobody/0"
}
t=iscsi://127.0.0.1:$tp/$iqn:tgt/1
i=iscsi://127.0.0.1:$ip/$iqn:istgt/0
matrix tgt "$t" "iscsi://127.0.0.2:$tp/$iqn:tgt/1"
matrix istgt "$i" "iscsi://127.0.0.2:$ip2/$iqn:istgt/0"
# Several connections in one session, over both portals of a group.
for bs in 512 64k 1M; do
    bench "istgt, a session of three connections $bs" --bs $bs --rw randrw --iodepth 16 \
        --path "$i?conn=127.0.0.3:$ip3&conn=127.0.0.1:$ip"
done
refused "digests that tgt does not agree to" "HeaderDigest" --path "$t?header_digest=crc32c"
for k in HeaderDigest DataDigest; do
    adm --op update --mode target --tid 1 -n $k -v CRC32C
done
d='header_digest=crc32c&data_digest=crc32c'
for bs in 512 64k 1M; do
    bench "tgt digests $bs" --path "$t?$d" --bs $bs --rw randrw --iodepth 8
    bench "istgt digests $bs" --path "$i?$d" --bs $bs --rw randrw --iodepth 8
done
adm --op new --mode account --user umpio --password rightsecret123
adm --op bind --mode account --tid 1 --user umpio
bench "tgt CHAP" --path "iscsi://umpio%rightsecret123@${t#iscsi://}?$d" --bs 4k --rw randrw --iodepth 8
refused "tgt CHAP, wrong secret" "name umpio or its secret is wrong" \
    --path "iscsi://umpio%wrongsecret123@${t#iscsi://}?$d"
refused "tgt CHAP, no secret" "uthentication" --path "$t?$d"
adm --op unbind --mode account --tid 1 --user umpio
refused "a LUN that is absent" "is absent" --path "${t%/1}/7?$d"
# The LUN is what its first path says; a path to another one is kept out, with the reason told.
"$umpio" bench --runtime 1 --json --path "$t?$d" --path "$i" >"$work/out" 2>"$work/err" || true
python3 - "$work/out" <<'PY' && grep -q "another logical unit" "$work/err" || { echo "FAIL two targets are not one LUN"; cat "$work/out" "$work/err"; exit 1; }
import json, sys
ios = [p["ios"] for p in json.load(open(sys.argv[1]))["paths"]]
sys.exit(not (sorted(ios)[0] == 0 and sorted(ios)[1] > 0))
PY
echo "ok   two targets are not one LUN"
echo "iSCSI initiator against tgt and istgt: all ok"
