#!/usr/bin/env python3
"""Measures umpio beside its peers: same machine, same minute, interleaved.

    benches/peers/peers.py --quick                     a first impression in a few minutes
    benches/peers/peers.py --json out.json             the whole table of docs/performance.md
    benches/peers/peers.py --only 'qd32-2rr' --runs 7    workloads whose name matches
    benches/peers/peers.py --protocol iscsi            the same over iSCSI
    benches/peers/peers.py --list                      names of the workloads

Peers: umpio bench -> umpio target, umpio bench -> SPDK nvmf_tgt, SPDK bdevperf -> each of these, and
the yardstick, a bare-socket ceiling. Over iSCSI SPDK's halves are bdev_iscsi (one path) and iscsi_tgt;
libiscsi's iscsi-perf (one path, reads) and umpio over NVMe/TCP stand beside them. SPDK is found by
SPDK_DIR, a built source tree; without it the peers that need it are named as absent. PEER_PRELOAD names a library to preload into SPDK's programs,
such as one that sets TCP_CONGESTION where the system's default is a pacing one.

Targets run on CPU 0, initiators on CPU 1. Markdown goes to stdout, progress to stderr.
"""

import argparse
import collections
import datetime
import itertools
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import procs  # noqa: E402
import report  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = {
    "nvme-tcp": ["yardstick", "spdk-spdk", "umpio-spdk", "spdk-umpio", "umpio-umpio"],
    "iscsi": ["yardstick", "spdk-spdk", "libiscsi-spdk", "umpio-spdk", "spdk-umpio", "libiscsi-umpio", "umpio-umpio",
              "umpio-nvme"],
}
SPDK_NEEDS = {"nvme-tcp": "nvmf_tgt", "iscsi": "iscsi_tgt"}


class Workload(collections.namedtuple("Workload", "rw bs qd paths policy digest")):
    @property
    def name(self):
        paths = f"{self.paths}{self.policy or 'path'}"
        return f"{self.rw}-{self.bs >> 10}k-qd{self.qd}-{paths}-{'ddgst' if self.digest else 'plain'}"


def workloads(quick, protocol):
    small = itertools.product(["randread", "randwrite"], [4096], [1, 8, 32, 128])
    large = itertools.product(["read", "write"], [131072], [16])
    loads = list(itertools.chain(small, large))
    modes = [(1, None), (2, "rr"), (2, "lqd")]
    digests = [False, True]
    if quick:
        loads = [("randread", 4096, 1), ("randread", 4096, 32), ("randwrite", 4096, 32), ("read", 131072, 16)]
        modes, digests = modes[:2], [False]
    if protocol == "iscsi":
        # Not every peer can be told which digests to negotiate.
        digests = [False]
    return [Workload(*load, *mode, digest) for digest in digests for mode in modes for load in loads]


def say(text):
    print(text, file=sys.stderr, flush=True)


def can(peer, w, protocol):
    """Whether a peer has what a workload needs: what it cannot do is left out of its column."""
    initiator = peer.partition("-")[0]
    alone = protocol == "iscsi" and initiator in ("spdk", "libiscsi")
    return not (alone and w.paths > 1) and not (initiator == "libiscsi" and "write" in w.rw)


def first_line(path, default="unknown"):
    try:
        with open(path) as f:
            return f.readline().strip()
    except OSError:
        return default


def output(argv):
    try:
        return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def build():
    """Builds umpio and the yardstick; returns where they are."""
    say("building umpio and the yardstick")
    found = {}
    for what in (["build", "--bin", "umpio"], ["bench", "--bench", "yardstick", "--no-run"]):
        argv = ["cargo", what[0], *(["--release"] if what[0] == "build" else []), *what[1:], "--message-format=json"]
        done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"peers.py: {' '.join(argv)} failed")
        for line in done.stdout.splitlines():
            message = json.loads(line)
            if message.get("executable"):
                found[message["target"]["name"]] = message["executable"]
    return found["umpio"], found["yardstick"]


class Bench:
    """Everything that is up for a whole session: targets, and who is absent and why."""

    def __init__(self, args):
        self.args, self.targets, self.absent, self.warnings = args, {}, [], []
        umpio, yardstick = build() if args.build else (os.environ.get("UMPIO"), os.environ.get("YARDSTICK"))
        if not umpio or not yardstick:
            sys.exit("peers.py: with --no-build, UMPIO and YARDSTICK name the binaries")
        self.umpio, self.yardstick = umpio, yardstick
        self.spdk = self.find_spdk()
        self.peers = [p for p in args.peers if p == "yardstick" or self.prepare(p)]

    def find_spdk(self):
        place = os.environ.get("SPDK_DIR")
        wanted = [f"build/bin/{SPDK_NEEDS[self.args.protocol]}", "build/examples/bdevperf"]
        if not place:
            self.why_no_spdk = "SPDK_DIR is not set; it names a built SPDK source tree"
            return None
        missing = [w for w in wanted if not os.access(os.path.join(place, w), os.X_OK)]
        self.why_no_spdk = f"SPDK_DIR has no {', '.join(missing)}"
        return None if missing else place

    def prepare(self, peer):
        """Starts what a peer needs; without it, the peer is absent."""
        initiator, target = peer.split("-")
        try:
            if "spdk" in (initiator, target) and not self.spdk:
                raise procs.Failed(self.why_no_spdk)
            if initiator == "libiscsi" and not shutil.which("iscsi-perf"):
                raise procs.Failed("iscsi-perf is not installed (Debian: libiscsi-bin)")
            if target not in self.targets:
                self.targets[target] = self.start(target)
            return True
        except (procs.Failed, OSError) as e:
            self.absent.append({"peer": report.TITLES[peer], "why": str(e)})
            return False

    def start(self, target):
        if target == "spdk":
            make = procs.spdk_nvmf_target if self.args.protocol == "nvme-tcp" else procs.spdk_iscsi_target
            t = make(self.spdk, self.args.lun_mib)
        else:
            protocol = "nvme-tcp" if target == "nvme" else self.args.protocol
            t = procs.umpio_target(self.umpio, protocol, self.args.cc, self.args.lun_mib)
            if t.cc is None and self.args.cc:
                self.warnings.append("umpio target takes no cc= in --listen: it sends with the system's congestion control")
        t.pause()
        return t

    def stop(self):
        for t in self.targets.values():
            t.stop()

    def measure(self, peer, w):
        """One run, with what others took of the machine meanwhile."""
        initiator, _, name = peer.partition("-")
        target = self.targets.get(name)
        seconds, cc = self.args.seconds, self.args.cc
        if target:
            target.wake()
        noise = procs.Noise(target and target.pid)
        try:
            if peer == "yardstick":
                run = procs.yardstick(self.yardstick, w, cc, self.args.lun_mib, seconds)
            elif initiator == "umpio":
                run = procs.umpio_bench(self.umpio, w, target, cc, seconds)
            elif initiator == "libiscsi":
                run = procs.iscsi_perf(w, target, seconds)
            else:
                run = procs.bdevperf(self.spdk, w, target, seconds)
        except (procs.Failed, subprocess.TimeoutExpired, OSError) as e:
            run = {"error": str(e)}
        run.update(noise.cores())
        if target:
            target.pause()
        return run

    def measure_quietly(self, peer, w):
        """As `measure`, once more for each allowed repeat while others disturb; the calmest counts."""
        runs = []
        for _ in range(1 + self.args.repeats):
            wait_for_quiet(self.args.quiet_wait)
            runs.append(self.measure(peer, w))
            if not report.noisy(runs[-1]):
                break
        good = [r for r in runs if "error" not in r] or runs
        return min(good, key=lambda r: r["others_cores"] + r["steal_cores"])

    def workload(self, w):
        peers = [p for p in self.peers if can(p, w, self.args.protocol)]
        runs = {p: [] for p in peers}
        for n in range(self.args.runs):
            # Every round in the same order: A B C, A B C. Drift then falls on all alike.
            for p in peers:
                run = self.measure_quietly(p, w)
                runs[p].append(run)
                said = run.get("error") or f"{run['iops'] / 1e3:8.1f} k/s  {run['mean_ns'] / 1e3:7.1f} us"
                say(f"  {w.name} {n + 1}/{self.args.runs} {p:12} {said}  others {run['others_cores']:.2f}")
        return runs


def wait_for_quiet(seconds):
    """Waits until less than 0.15 of a core is busy, at most so long. Targets are paused then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = procs.ticks()[0]
        time.sleep(0.5)
        if (procs.ticks()[0] - before) / os.sysconf("SC_CLK_TCK") / 0.5 < 0.15:
            return


def conditions(args, bench):
    model = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    if bench.spdk:
        spdk = output([f"{bench.spdk}/build/bin/{SPDK_NEEDS[args.protocol]}", "--version"]) or "present, version unknown"
    else:
        spdk = "absent"
    return {
        "protocol": args.protocol,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "umpio": output(["git", "describe", "--always", "--dirty"]) or "unknown",
        "SPDK": spdk,
        "machine": f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}",
        "network": "loopback, two ports on one address; target on CPU 0, initiator on CPU 1",
        "congestion control": f"umpio and yardstick {args.cc or 'system'}; SPDK "
        + ("by PEER_PRELOAD" if os.environ.get("PEER_PRELOAD") else "system")
        + f"; system {first_line('/proc/sys/net/ipv4/tcp_congestion_control')}",
        "runs": f"{args.runs} of {args.seconds} s each, interleaved; LUN {args.lun_mib} MiB in memory",
        "load at the start": first_line("/proc/loadavg"),
    }


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="a few workloads, no digests, 1 path and 2 round robin")
    p.add_argument("--only", metavar="REGEX", help="only workloads whose name matches")
    p.add_argument("--protocol", choices=list(PEERS), default="nvme-tcp", help="of the paths (nvme-tcp)")
    p.add_argument("--peers", type=lambda t: t.split(","), metavar="A,B", help="only these; --list names them")
    p.add_argument("--runs", type=int, default=5, help="of each peer and workload (5)")
    p.add_argument("--seconds", type=float, default=2.0, help="measured in a run; SPDK takes whole ones (2)")
    p.add_argument("--repeats", type=int, default=2, help="repeat a run that others disturbed, at most N times (2)")
    p.add_argument("--quiet-wait", type=float, default=10.0, help="seconds to wait for a quiet machine before a run (10)")
    p.add_argument("--lun-mib", type=int, default=64, help="size of the LUN (64)")
    p.add_argument("--cc", default="cubic", help="congestion control of umpio and the yardstick (cubic)")
    p.add_argument("--json", metavar="FILE", help="write everything measured, run by run")
    p.add_argument("--no-build", dest="build", action="store_false", help="take the binaries UMPIO and YARDSTICK name")
    p.add_argument("--list", action="store_true", help="name the workloads and end")
    args = p.parse_args()
    known = PEERS[args.protocol]
    args.peers = args.peers or known
    if unknown := [x for x in args.peers if x not in known]:
        p.error(f"unknown peers {unknown}; known are {', '.join(known)}")
    return args


def main():
    args = parse()
    chosen = [w for w in workloads(args.quick, args.protocol) if not args.only or re.search(args.only, w.name)]
    if args.list or not chosen:
        print("\n".join(w.name for w in chosen) or "no workload matches")
        print(f"peers: {','.join(args.peers)}", file=sys.stderr)
        return 0 if chosen else 2
    # So that a terminated session stops its targets too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(args)
    try:
        for a in bench.absent:
            say(f"*** ABSENT: {a['peer']}: {a['why']}")
        if args.runs < 5:
            bench.warnings.append(f"{args.runs} runs only; 5 or more make a median worth quoting")
        result = {"conditions": conditions(args, bench), "peers": bench.peers, "absent": bench.absent,
                  "warnings": bench.warnings, "workloads": [], "failures": []}
        for i, w in enumerate(chosen):
            say(f"[{i + 1}/{len(chosen)}] {w.name}")
            runs = bench.workload(w)
            cells = {p: {**report.summary(r), "all": r} for p, r in runs.items()}
            result["workloads"].append({"workload": w.name, **w._asdict(), "peers": cells, "ratios": report.ratios(cells)})
            result["failures"] += [(w.name, p, r) for p, rs in runs.items() for r in rs if "error" in r]
            result["two_paths_against_one"] = report.against_one_path(result["workloads"])
            if args.json:
                # After every workload, so that an interrupted session keeps what it has.
                with open(args.json, "w") as f:
                    json.dump(result, f, indent=1)
    finally:
        bench.stop()
    done = [r for w in result["workloads"] for c in w["peers"].values() for r in c["all"]]
    disturbed = sum(report.noisy(r) for r in done)
    if disturbed * 10 > len(done):
        # Who sleeps now and then gains on who always polls, so such ratios are wrong, not just rough.
        bench.warnings.insert(0, f"{disturbed} of {len(done)} runs were disturbed by others: QUOTE NO RATIO OF THESE")
    print(report.markdown(result))
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
