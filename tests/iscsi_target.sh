#!/usr/bin/env bash
# Initiators nobody here wrote against umpio's iSCSI target: libiscsi's own test suite with two
# portal groups, its tools, and qemu-img. Needs target/release/umpio (or $UMPIO) and libiscsi's
# tools; where they are missing Debian's packages are installed by whoever may. About ten seconds.
#
# Every test of the suite that runs has to pass, and none may turn into a skip: the reasons to
# skip are pinned below (docs/iscsi-target.md says why each is there).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
UMPIO=${UMPIO:-target/release/umpio}
passed=0 failed=0 target=''
work=$(mktemp -d)

finish() {
    [ -z "$target" ] || kill "$target" 2>/dev/null
    if [ "$failed" -gt 0 ]; then echo "kept for a look: $work"; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

pass() { passed=$((passed + 1)); echo "PASS $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1"; }
judge() {
    local label=$1
    shift
    if "$@" >"$work/last" 2>&1; then pass "$label"; else fail "$label: $(tail -n 3 "$work/last")"; fi
}

for tool in iscsi-test-cu iscsi-ls iscsi-inq iscsi-readcapacity16 iscsi-perf qemu-img; do
    command -v "$tool" >/dev/null && continue
    apt-get install -y libiscsi-bin qemu-utils qemu-block-extra >"$work/apt" 2>&1 || true
    command -v "$tool" >/dev/null && continue
    echo "SKIPPED: there is no $tool here, and apt-get did not bring it"
    [ -z "${UMPIO_LAB_REQUIRED:-}" ]
    exit
done

iqn=iqn.2024-01.io.umpio:judged
"$UMPIO" target --json --backing mem:100M \
    --listen "iscsi://127.0.0.1:0/$iqn/0?group=1" \
    --listen "iscsi://127.0.0.1:0/$iqn/0?group=2" >"$work/target" 2>"$work/target.err" &
target=$!
for _ in $(seq 100); do [ -s "$work/target" ] && break; sleep 0.1; done
mapfile -t urls < <(grep -o 'iscsi://[^"]*' "$work/target")
if [ "${#urls[@]}" -ne 2 ]; then
    fail "the target listens: $(cat "$work/target.err")"
    exit 1
fi
portal=${urls[0]%%/iqn*}

listed() { [ "$(iscsi-ls -s "$portal" | grep -c "^Lun:0 .*DIRECT_ACCESS")" -eq 2 ]; }
judge "iscsi-ls finds the target at both portals, with its LUN" listed
identified() { iscsi-inq -e 1 -c 131 "${urls[0]}" | grep -q DEVICE_IDENTIFICATION; }
judge "iscsi-inq reads the identification page" identified
sized() { iscsi-readcapacity16 "${urls[0]}" | grep -q "Total size:104857600"; }
judge "iscsi-readcapacity16 reads the size" sized
measured() { timeout 5 iscsi-perf -t 2 -b 8 -m 16 "${urls[0]}" | grep -Eq 'iops|IOPS'; }
judge "iscsi-perf reads" measured

iscsi-test-cu -d -t ALL "${urls[@]}" >"$work/suite" 2>&1
# Columns of the summary: total, ran, passed, failed.
read -r total ran good bad < <(awk '$1 == "tests" { print $2, $3, $4, $5 }' "$work/suite")
asserts=$(awk '$1 == "asserts" { print $3 }' "$work/suite")
if [ "${total:-0}" -ge 230 ] && [ "$ran" = "$total" ] && [ "$good" = "$total" ] && [ "$bad" = 0 ]; then
    pass "iscsi-test-cu: $good of $total tests"
else
    fail "iscsi-test-cu: ${good:-0} of ${total:-?} tests passed, ${bad:-?} failed (230 of 230 did)"
    grep -A3 FAILED "$work/suite" | head -n 40
fi
# A test that turns into a skip makes no assertions.
if [ "${asserts:-0}" -ge 67000 ]; then
    pass "iscsi-test-cu: $asserts assertions"
else
    fail "iscsi-test-cu: ${asserts:-0} assertions, fewer than the 67000 there were"
fi
known='PERSISTENT RESERVE IN is|PROUT Not|RESERVE6 is|ORWRITE is|WRITEATOMIC16 is|allow-sanitize
EXTENDEDCOPY is|RECEIVE_?COPY_?RESULTS? is|GET_?LBA_?STATUS is|READDEFECTDATA1[02] is
unit is not removable|Media is not removable|LBPPB < 2|does not support 0-blocks
is not write-protected'
new=$(grep -o '\[SKIPPED\].*' "$work/suite" | grep -Ev "$(tr '\n' '|' <<<"$known" | sed 's/|$//')" | sort -u)
if [ -z "$new" ]; then pass "no test is skipped for a new reason"; else fail "skipped: $new"; fi

# Through qemu's block layer: what is written is read back, over both portals.
if qemu-img info "${urls[0]}" >"$work/info" 2>&1; then
    head -c 64M /dev/urandom >"$work/image"
    truncate -s 100M "$work/image"
    judge "qemu-img writes an image" \
        qemu-img convert -n -f raw -O raw "$work/image" "${urls[0]}"
    judge "qemu-img compares it over the other portal" \
        qemu-img compare -f raw -F raw "$work/image" "${urls[1]}"
else
    echo "SKIPPED: this qemu-img cannot do iSCSI: $(tail -n 1 "$work/info")"
    [ -z "${UMPIO_LAB_REQUIRED:-}" ] || fail "qemu-img"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
