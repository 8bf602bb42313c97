"""Medians, spreads and ratios of the runs, as Markdown."""

import statistics

# Over this much of a core taken by others, a run says more about them than about the peers.
NOISY_CORES = 0.1

RATIOS = [
    ("umpio→SPDK / SPDK→SPDK", "umpio-spdk", "spdk-spdk", "iops"),
    ("busy of these", "umpio-spdk", "spdk-spdk", "busy_ns_per_io"),
    ("umpio→umpio / SPDK→SPDK", "umpio-umpio", "spdk-spdk", "iops"),
    ("umpio→umpio / SPDK→umpio", "umpio-umpio", "spdk-umpio", "iops"),
    ("busy of these two", "umpio-umpio", "spdk-umpio", "busy_ns_per_io"),
    ("umpio→SPDK / iscsi-perf→SPDK", "umpio-spdk", "libiscsi-spdk", "iops"),
    ("umpio→umpio / iscsi-perf→umpio", "umpio-umpio", "libiscsi-umpio", "iops"),
    ("umpio→umpio / NVMe/TCP", "umpio-umpio", "umpio-nvme", "iops"),
    ("umpio→umpio / yardstick", "umpio-umpio", "yardstick", "iops"),
]

TITLES = {
    "yardstick": "yardstick",
    "spdk-spdk": "SPDK→SPDK",
    "umpio-spdk": "umpio→SPDK",
    "spdk-umpio": "SPDK→umpio",
    "umpio-umpio": "umpio→umpio",
    "libiscsi-spdk": "iscsi-perf→SPDK",
    "libiscsi-umpio": "iscsi-perf→umpio",
    "umpio-nvme": "umpio→umpio NVMe/TCP",
}


def summary(runs):
    """Median and spread of each figure over the runs that ended well."""
    good = [r for r in runs if "error" not in r]
    out = {"runs": len(good), "failed": len(runs) - len(good), "noisy": sum(noisy(r) for r in good)}
    for key in ("iops", "mean_ns", "p99_ns", "busy_ns_per_io"):
        values = [r[key] for r in good if r.get(key) is not None]
        if values:
            median = statistics.median(values)
            spread = (max(values) - min(values)) / median * 100 if median else 0.0
            out[key] = {"median": median, "min": min(values), "max": max(values), "spread_percent": round(spread, 1)}
    return out


def noisy(run):
    return run.get("others_cores", 0) > NOISY_CORES or run.get("steal_cores", 0) > NOISY_CORES


def median(cell, key):
    return cell.get(key, {}).get("median") if cell else None


def ratios(cells):
    """By name, where both sides were measured. A ratio of medians of interleaved runs."""
    out = {}
    for name, over, under, key in RATIOS:
        a, b = median(cells.get(over), key), median(cells.get(under), key)
        if a and b:
            out[name] = round(a / b, 3)
    return out


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def iops_cell(cell):
    if not cell or "iops" not in cell:
        return "–"
    mark = "*" if cell["noisy"] else ""
    return f"{cell['iops']['median'] / 1e3:.1f}{mark} ±{cell['iops']['spread_percent'] / 2:.0f} %"


def time_cell(cell):
    mean, p99 = median(cell, "mean_ns"), median(cell, "p99_ns")
    if mean is None:
        return "–"
    return f"{mean / 1e3:.1f} / {p99 / 1e3:.1f}" if p99 else f"{mean / 1e3:.1f}"


def busy_cell(cell):
    busy = median(cell, "busy_ns_per_io")
    return f"{busy:.0f}" if busy is not None else "–"


def section(title, lines, peers, show):
    rows = [[f"`{w}`"] + [show(cells.get(p)) for p in peers] for w, cells in lines]
    return f"### {title}\n\n" + table(["workload"] + [TITLES[p] for p in peers], rows) + "\n"


def against_one_path(workloads):
    """What each peer keeps of its one-path figure when it has two, by name of the workload."""
    load = lambda w: (w["rw"], w["bs"], w["qd"], w["digest"])
    one = {load(w): w["peers"] for w in workloads if w["paths"] == 1}
    kept = {}
    for w in workloads:
        alone = one.get(load(w))
        if w["paths"] == 1 or not alone:
            continue
        pairs = {p: (median(c, "iops"), median(alone.get(p), "iops")) for p, c in w["peers"].items()}
        kept[w["workload"]] = {p: round(two / single, 3) for p, (two, single) in pairs.items() if two and single}
    return kept


def markdown(result):
    """The whole report: conditions, absences, figures, ratios."""
    peers = [p for p in TITLES if p in result["peers"]]
    lines = [(w["workload"], w["peers"]) for w in result["workloads"]]
    out = ["## Peers, side by side\n"]
    out += [f"- {k}: {v}" for k, v in result["conditions"].items()]
    out += [f"- **ABSENT: {a['peer']}** — {a['why']}" for a in result["absent"]]
    out += [f"- **WARNING:** {w}" for w in result["warnings"]]
    out.append("")
    out.append(section("Thousands of I/O per second (median, ± half the spread)", lines, peers, iops_cell))
    if any(c.get("noisy") for _, cells in lines for c in cells.values()):
        out.append(f"`*`: in some of these runs others took more than {NOISY_CORES} of a core, or the hypervisor did.\n")
    names = [name for name, *_ in RATIOS if any(name in ratios(cells) for _, cells in lines)]
    if names:
        rows = [[f"`{w}`"] + [f"{ratios(c)[n]:.2f}" if n in ratios(c) else "–" for n in names] for w, c in lines]
        out.append("### Ratios\n\n" + table(["workload"] + names, rows) + "\n")
    kept = against_one_path(result["workloads"])
    if kept:
        rows = [[f"`{w}`"] + [f"{k[p]:.2f}" if p in k else "–" for p in peers] for w, k in kept.items()]
        out.append("### Two paths against one\n\n" + table(["workload"] + [TITLES[p] for p in peers], rows) + "\n")
    qd1 = [line for line in lines if "-qd1-" in line[0]]
    if qd1:
        out.append(section("Latency at queue depth 1, mean / p99, µs", qd1, peers, time_cell))
    timed = [p for p in peers if any(median(c.get(p), "busy_ns_per_io") for _, c in lines)]
    if timed:
        out.append(section("Busy time of the initiator, ns per I/O", lines, timed, busy_cell))
    failed = [(w, p, r["error"]) for w, p, r in result["failures"]]
    if failed:
        out.append("### Runs that failed\n")
        out += [f"- `{w}` {TITLES[p]}: {why}" for w, p, why in failed]
    return "\n".join(out)
