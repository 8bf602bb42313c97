"""The programs that are measured: how each is started, driven over one run, and stopped by its pid."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

TARGET_CPU, INITIATOR_CPU = 0, 1
NQN = "nqn.2026-01.lab.umpio:peers"
IQN = "iqn.2026-01.lab.umpio:peers"
HOST = "127.0.0.1"
PATIENCE = 30.0


class Failed(Exception):
    """A program did not do what it was started for."""


def tail(path, lines=5):
    with open(path, errors="replace") as f:
        return " | ".join(f.read().strip().splitlines()[-lines:])


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def ticks():
    """Busy and stolen ticks of the whole machine."""
    with open("/proc/stat") as f:
        n = [int(x) for x in f.readline().split()[1:]]
    return sum(n[:3]) + n[5] + n[6], n[7]


def ticks_of(pid):
    """Ticks that a process, with the children it has waited for, has used."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:15])
    except OSError:
        return 0


class Noise:
    """What everybody else took of the machine while a run went on.

    The initiator has ended when this is asked, so its use is taken from what this process has
    waited for; the target's from /proc.
    """

    def __init__(self, target):
        self.target = target
        self.before = self.look()
        self.began = time.monotonic()

    def look(self):
        busy, stolen = ticks()
        mine = ticks_of(os.getpid()) + (ticks_of(self.target) if self.target else 0)
        return busy, stolen, mine

    def cores(self):
        after = self.look()
        busy, stolen, mine = (a - b for a, b in zip(after, self.before))
        total = (time.monotonic() - self.began) * os.sysconf("SC_CLK_TCK")
        return {"others_cores": round(max(busy - mine, 0) / total, 3), "steal_cores": round(stolen / total, 3)}


class Target:
    """A serving process. Only one runs at a time: a polling target that is not being measured would
    share the measured one's core, so it is kept stopped (SIGSTOP) and woken for its turn."""

    def __init__(self, name, argv, env=None):
        self.name = name
        self.log = tempfile.NamedTemporaryFile(prefix=f"peers-{name}-", suffix=".log", delete=False).name
        with open(self.log, "w") as err:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if env is None else err, stderr=err, env=env)
        self.ports = []
        # One a portal, as umpio and libiscsi take them, without a query.
        self.urls = []

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def pause(self):
        if self.alive():
            # What its last initiator left behind (closed connections) is cleared away first.
            time.sleep(0.05)
            self.process.send_signal(signal.SIGSTOP)

    def wake(self):
        if not self.alive():
            raise Failed(f"target {self.name} has ended: {tail(self.log)}")
        self.process.send_signal(signal.SIGCONT)
        time.sleep(0.05)

    def stop(self):
        if self.alive():
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Rpc:
    """JSON-RPC over a Unix socket, as SPDK speaks it: objects without framing."""

    def __init__(self, path, process, log):
        end = time.monotonic() + PATIENCE
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        while True:
            try:
                self.sock.connect(path)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise Failed(f"{path} does not answer: {tail(log)}") from None
                time.sleep(0.02)
        self.n = 0
        self.call("framework_wait_init")

    def call(self, method, params=None, patience=PATIENCE):
        self.n += 1
        request = {"jsonrpc": "2.0", "id": self.n, "method": method}
        if params:
            request["params"] = params
        self.sock.settimeout(patience)
        self.sock.sendall(json.dumps(request).encode())
        text = b""
        while True:
            piece = self.sock.recv(65536)
            if not piece:
                raise Failed(f"{method}: the connection was closed")
            text += piece
            try:
                answer = json.loads(text)
            except ValueError:
                continue
            if "error" in answer:
                raise Failed(f"{method}: {answer['error']}")
            return answer["result"]


def umpio_target(binary, protocol, cc, lun_mib):
    """umpio's own target with two portals; says whether it could be told the congestion control."""
    name = {"nvme-tcp": NQN, "iscsi": f"{IQN}/0"}[protocol]
    for query in ([f"?cc={cc}", ""] if cc else [""]):
        listen = f"{protocol}://{HOST}:0/{name}{query}"
        argv = [binary, "target", "--listen", listen, "--listen", listen, "--backing", f"mem:{lun_mib}M",
                "--cpu", str(TARGET_CPU), "--json"]
        t = Target("umpio", argv)
        line = t.process.stdout.readline()
        if line.strip():
            urls = json.loads(line)["listening"]
            t.ports = [int(re.search(r":(\d+)/", u).group(1)) for u in urls]
            t.urls = [f"{protocol}://{HOST}:{port}/{name}" for port in t.ports]
            t.cc = cc if query else None
            return t
        t.stop()
    raise Failed(f"umpio target did not start: {tail(t.log)}")


def spdk_env():
    env = dict(os.environ)
    if env.get("PEER_PRELOAD"):
        env["LD_PRELOAD"] = env["PEER_PRELOAD"]
    return env


def spdk_program(spdk, name):
    """One of SPDK's targets on the target's core, and its RPC."""
    sock = tempfile.mktemp(prefix=f"peers-{name}-", suffix=".sock")
    argv = [f"{spdk}/build/bin/{name}", "-m", hex(1 << TARGET_CPU), "--no-huge", "-s", "1024", "-u",
            "--disable-cpumask-locks", "-r", sock]
    t = Target(name, argv, spdk_env())
    try:
        return t, Rpc(sock, t.process, t.log)
    except BaseException:
        t.stop()
        raise


def spdk_nvmf_target(spdk, lun_mib):
    t, rpc = spdk_program(spdk, "nvmf_tgt")
    try:
        rpc.call("nvmf_create_transport", {"trtype": "TCP", "in_capsule_data_size": 4096})
        rpc.call("bdev_malloc_create", {"name": "d0", "num_blocks": lun_mib << 11, "block_size": 512})
        rpc.call("nvmf_create_subsystem", {
            "nqn": NQN, "allow_any_host": True, "ana_reporting": True, "serial_number": "PEERS0001", "max_namespaces": 8})
        rpc.call("nvmf_subsystem_add_ns", {"nqn": NQN, "namespace": {"bdev_name": "d0"}})
        t.ports = [free_port(), free_port()]
        for port in t.ports:
            at = {"trtype": "TCP", "adrfam": "IPv4", "traddr": HOST, "trsvcid": str(port)}
            rpc.call("nvmf_subsystem_add_listener", {"nqn": NQN, "listen_address": at})
    except BaseException:
        t.stop()
        raise
    t.urls = [f"nvme-tcp://{HOST}:{port}/{NQN}" for port in t.ports]
    return t


def spdk_iscsi_target(spdk, lun_mib):
    t, rpc = spdk_program(spdk, "iscsi_tgt")
    try:
        rpc.call("bdev_malloc_create", {"name": "d0", "num_blocks": lun_mib << 11, "block_size": 512})
        t.ports = [free_port(), free_port()]
        portals = [{"host": HOST, "port": str(port)} for port in t.ports]
        rpc.call("iscsi_create_portal_group", {"tag": 1, "portals": portals})
        rpc.call("iscsi_create_initiator_group", {"tag": 1, "initiators": ["ANY"], "netmasks": ["ANY"]})
        rpc.call("iscsi_create_target_node", {
            "name": IQN, "alias_name": "peers", "pg_ig_maps": [{"pg_tag": 1, "ig_tag": 1}],
            "luns": [{"bdev_name": "d0", "lun_id": 0}], "queue_depth": 128, "disable_chap": True})
    except BaseException:
        t.stop()
        raise
    t.urls = [f"iscsi://{HOST}:{port}/{IQN}/0" for port in t.ports]
    return t


def run_json(argv, seconds):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + PATIENCE)
    try:
        return json.loads(done.stdout)
    except ValueError:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Failed(f"{os.path.basename(argv[0])} exited {done.returncode}: {' | '.join(said)}") from None


def yardstick(binary, w, cc, lun_mib, seconds):
    r = run_json([binary, "--rw", "read" if "read" in w.rw else "write", "--bs", str(w.bs), "--qd", str(w.qd),
                  "--conns", str(w.paths), "--seconds", str(seconds), "--store-mib", str(lun_mib), "--cc", cc,
                  "--cpu", f"{TARGET_CPU},{INITIATOR_CPU}"], seconds)
    return {"iops": r["iops"], "mean_ns": r["mean_ns"], "p99_ns": r["p99_ns"]}


def umpio_bench(binary, w, target, cc, seconds):
    options = "&".join(([f"cc={cc}"] if cc else []) + (["ddgst=1"] if w.digest else []))
    argv = [binary, "bench", "--json", "--destroy", "--rw", w.rw, "--bs", str(w.bs), "--iodepth", str(w.qd),
            "--runtime", str(seconds), "--warmup", f"{int(seconds * 100)}ms", "--cpu", str(INITIATOR_CPU)]
    for url in target.urls[:w.paths]:
        argv += ["--path", f"{url}?{options}"]
    if w.paths > 1:
        argv += ["--policy", {"rr": "round-robin", "lqd": "least-queue-depth"}[w.policy]]
    r = run_json(argv, seconds * 1.1)
    if r.get("errors") or r.get("miscompares"):
        raise Failed(f"umpio bench: {r.get('errors')} errors, {r.get('miscompares')} miscompares")
    if not r.get("iops"):
        raise Failed(f"umpio bench measured nothing: {json.dumps(r)[:300]}")
    return {"iops": r["iops"], "mean_ns": r["latency_ns"]["mean"], "p99_ns": r["latency_ns"]["p99"],
            "busy_ns_per_io": r["busy_ns_per_io"]}


def iscsi_perf(w, target, seconds):
    """libiscsi's own load: reads only, one connection; says no latency, so the mean is taken from the rate."""
    argv = ["taskset", "-c", str(INITIATOR_CPU), "iscsi-perf", "-m", str(w.qd), "-b", str(w.bs // 512),
            "-t", str(max(1, round(seconds)))]
    argv += ["-r", target.urls[0]] if w.rw.startswith("rand") else [target.urls[0]]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + PATIENCE)
    said = re.findall(r"iops average (\d+)", done.stdout)
    if done.returncode or not said:
        raise Failed(f"iscsi-perf exited {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
    iops = int(said[-1])
    return {"iops": iops, "mean_ns": w.qd * 1e9 / iops, "p99_ns": None}


def bdevperf_iscsi_config(target):
    bdev = {"name": "N0n1", "url": target.urls[0], "initiator_iqn": f"{IQN}.initiator"}
    config = [{"method": "bdev_iscsi_create", "params": bdev}, {"method": "bdev_wait_for_examine"}]
    return {"subsystems": [{"subsystem": "bdev", "config": config}]}


def bdevperf_config(w, target):
    if target.urls[0].startswith("iscsi:"):
        return bdevperf_iscsi_config(target)
    selector = {"rr": {"selector": "round_robin", "rr_min_io": 1}, "lqd": {"selector": "queue_depth"}}
    policy = {"policy": "active_active", **selector[w.policy]} if w.paths > 1 else {"policy": "active_passive"}
    config = [{"method": "bdev_nvme_set_options", "params": {"keep_alive_timeout_ms": 10000}}]
    for port in target.ports[:w.paths]:
        config.append({"method": "bdev_nvme_attach_controller", "params": {
            "name": "N0", "trtype": "tcp", "adrfam": "ipv4", "traddr": HOST, "trsvcid": str(port),
            "subnqn": NQN, "multipath": "multipath", "ddgst": w.digest}})
    config.append({"method": "bdev_nvme_set_multipath_policy", "params": {"name": "N0n1", **policy}})
    config.append({"method": "bdev_wait_for_examine"})
    return {"subsystems": [{"subsystem": "bdev", "config": config}]}


def spdk_busy_ns(rpc):
    """Time of reactor turns in which a poller did something: what umpio calls busy. Asked of the
    reactors, because bdevperf's threads end with the run and take their own figures with them."""
    r = rpc.call("framework_get_reactors")
    return sum(x["busy"] for x in r["reactors"]) * 1e9 / r["tick_rate"]


def bdevperf(spdk, w, target, seconds):
    with tempfile.TemporaryDirectory(prefix="peers-bdevperf-") as d:
        sock, log = f"{d}/rpc.sock", f"{d}/log"
        with open(f"{d}/config.json", "w") as f:
            json.dump(bdevperf_config(w, target), f)
        # bdevperf keeps its histogram anyway; -l only prints it.
        argv = [f"{spdk}/build/examples/bdevperf", "-m", hex(1 << INITIATOR_CPU), "--no-huge", "-s", "512", "-u",
                "--disable-cpumask-locks", "-r", sock, "-z", "-l", "-c", f"{d}/config.json", "-T", "N0n1",
                "-w", w.rw, "-o", str(w.bs), "-q", str(w.qd), "-t", str(max(1, round(seconds)))]
        with open(log, "w") as out:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=spdk_env())
        try:
            rpc = Rpc(sock, process, log)
            busy = spdk_busy_ns(rpc)
            r = rpc.call("perform_tests", patience=seconds + PATIENCE)["results"][0]
            busy = spdk_busy_ns(rpc) - busy
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if r.get("io_failed") or r.get("io_timeout"):
            raise Failed(f"bdevperf: {r['io_failed']} failed, {r['io_timeout']} timed out")
        with open(log, errors="replace") as f:
            p99 = re.search(r"99\.00000% *: *([0-9.]+)us", f.read())
        return {"iops": r["iops"], "mean_ns": r["avg_latency_us"] * 1e3, "p99_ns": float(p99.group(1)) * 1e3 if p99 else None,
                "busy_ns_per_io": busy / max(r["iops"] * r["runtime"], 1)}
