"""The walk of tests/control.sh, by PyPI's spdk client: python3 tests/control.py SOCKET LUN (TARGET|kept)

With the control socket of the target: from the service to the paths, each policy under I/O, what
Windows refuses, the connections of the iSCSI session of the LUN "m", and every method at least once.
With `kept`: prints what a restart must not change. With `shutdown`: ends the daemon.
"""

import json
import sys
import time

from spdk.rpc.client import JSONRPCClient, JSONRPCException

# Far beyond what any machine needs.
PATIENCE = 120

# Policy, and whether it puts new I/O on both paths (None: either).
VDS = {1: ("FAILOVER", False), 2: ("ROUND_ROBIN", True), 3: ("ROUND_ROBIN_WITH_SUBSET", True),
       4: ("DYN_LEAST_QUEUE_DEPTH", None), 5: ("WEIGHTED_PATHS", False), 6: ("LEAST_BLOCKS", None),
       7: ("VENDOR_SPECIFIC", None)}


class Daemon:
    def __init__(self, socket, lun):
        self.client = JSONRPCClient(socket, timeout=PATIENCE)
        self.lun = lun
        self.called = set()

    def call(self, method, /, **params):
        self.called.add(method)
        return self.client.call(method, params)

    def ok(self, method, /, **params):
        answer = self.call(method, **params)
        assert answer.get("hresult", answer.get("status")) == 0, (method, params, answer)
        return answer

    def name(self, method, /, **params):
        return self.call(method, **params)["name"]

    def ios(self):
        return [p["ios"] for p in self.call("path_list", lun=self.lun)]

    def until(self, what, so):
        """Asks until it is so."""
        end = time.monotonic() + PATIENCE
        while not so():
            assert time.monotonic() < end, f"it does not happen: {what}"
            time.sleep(0.02)

    def grows(self, at, by=50):
        before = self.ios()[at]
        self.until(f"I/O over path {at}", lambda: self.ios()[at] >= before + by)

    def only(self, at):
        """Until new I/O goes over one path alone: what was under way on the other has ended."""
        def alone():
            before = self.ios()
            self.grows(at)
            return self.ios()[1 - at] == before[1 - at]
        self.until(f"I/O over path {at} alone", alone)


def one(answer, kind):
    found = [o for o in answer["objects"]]
    assert len(found) == 1, (kind, answer)
    return found[0]["id"]


def walk(d):
    """IVdsService -> IVdsHwProvider -> IVdsSubSystem -> IVdsLun -> IVdsLunMpio."""
    assert d.ok("vds_service_is_service_ready")
    provider = one(d.ok("vds_service_query_providers", masks=2), "provider")
    kind = d.ok("vds_hw_provider_type2_get_provider_type2", provider=provider)
    assert kind["type"].endswith("HYBRID"), kind
    subsystem = one(d.ok("vds_hw_provider_query_sub_systems", provider=provider), "subsystem")
    lun = d.call("lun_get", lun=d.lun)["guid"]
    luns = d.ok("vds_sub_system_query_luns", subsystem=subsystem)
    assert sorted(o["id"] for o in luns["objects"]) == sorted(l["guid"] for l in d.call("lun_list"))
    assert d.ok("vds_lun_get_properties", lun=lun)["id"] == lun
    mpio = d.ok("vds_query_interface", id=lun, type=33, iid="IVdsLunMpio")
    assert mpio["interface"] == "IVdsLunMpio", mpio
    assert d.name("vds_query_interface", id=lun, type=33, iid="IVdsLunPlex") == "E_NOINTERFACE"
    info = d.ok("vds_lun_mpio_get_path_info", lun=lun)
    policy = d.ok("vds_lun_mpio_get_load_balance_policy", lun=lun)
    assert info["number_of_paths"] == policy["number_of_paths"] == 2, info
    for p in info["paths"]:
        portal = d.ok("vds_iscsi_portal_get_properties", id=p["target_portal_id"])
        adapter = d.ok("vds_iscsi_initiator_adapter_get_properties", id=p["initiator_adapter_id"])
        assert portal["id"] == p["target_portal_id"] and adapter["id"] == p["initiator_adapter_id"]
    return lun, [p["path_id"] for p in info["paths"]]


def weights(paths, light):
    return [{"path_id": p, "weight": 1 if p == paths[light] else 9} for p in paths]


def policies(d, lun, paths):
    for number, (name, both) in VDS.items():
        if number == 7:
            d.ok("vds_lun_mpio_set_load_balance_policy", lun=lun, policy=7)
        elif number == 1:
            # The primary path carries it all.
            for first in (1, 0):
                d.ok("vds_lun_mpio_set_load_balance_policy", lun=lun, policy=1, paths=[
                    {"path_id": p, "primary": p == paths[first]} for p in paths])
                d.only(first)
        elif number == 5:
            for light in (1, 0):
                d.ok("vds_lun_mpio_set_load_balance_policy", lun=lun, policy=5,
                     paths=weights(paths, light))
                d.only(light)
        else:
            d.ok("vds_lun_mpio_set_load_balance_policy", lun=lun, policy=number, paths=[
                {"path_id": p, "primary": True} for p in paths])
        got = d.ok("vds_lun_mpio_get_load_balance_policy", lun=lun)
        assert got["policy"] == number and got["policy_name"] == f"VDS_LBP_{name}", got
        if both:
            for at in (0, 1):
                d.grows(at)
        if number < 7:
            # What was got can be handed back as it is, and as the structure of Windows.
            same = {"lun": lun, "policy": number}
            d.ok("vds_lun_mpio_set_load_balance_policy", raw=got["raw"], **same)
            assert d.ok("vds_lun_mpio_get_load_balance_policy", lun=lun) == got
            dsm = d.ok("dsm_query_lb_policy_v2", instance=d.lun)
            assert dsm["policy"] == number, dsm
        total = sum(d.ios())
        d.until(f"I/O under {name}", lambda: sum(d.ios()) >= total + 100)
        print(f"  policy {number} {name}")


def refusals(d, lun, paths, target):
    """What Windows refuses, and that a refusal changes nothing."""
    alua = "dsm_lb_operations_dsm_set_load_balance_policy_alua"
    every = [{"path_id": p} for p in paths]
    d.ok("vds_lun_mpio_set_load_balance_policy", lun=lun, policy=4)
    assert d.name(alua, instance=d.lun, policy=7, paths=every) == "STATUS_INVALID_PARAMETER"
    vds = "vds_lun_mpio_set_load_balance_policy"
    assert d.name(vds, lun=lun, policy=8) == "E_INVALIDARG"
    assert d.name(vds, lun=lun, policy=4, paths=every[:1]) == "E_INVALIDARG"
    nobody = [{"path_id": "0x1"}, every[1]]
    assert d.name(vds, lun=lun, policy=4, paths=nobody) == "VDS_E_PATH_NOT_FOUND"
    assert target.call("target_set_access", {"group": 2, "state": "non_optimized"})
    symmetric = lambda: d.call("lun_get", lun=d.lun)["symmetric"]
    d.until("unequal paths", lambda: not symmetric())
    assert d.name(vds, lun=lun, policy=2) == "VDS_E_NOT_SUPPORTED"
    assert d.name(alua, instance=d.lun, policy=2, paths=every) == "STATUS_INVALID_PARAMETER"
    assert not d.ok("vds_lun_mpio_get_supported_lb_policies", lun=lun)["lb_flags"] & 2
    got = d.ok("vds_lun_mpio_get_load_balance_policy", lun=lun)
    assert got["policy"] == 4, got
    assert target.call("target_set_access", {"group": 2, "state": "optimized"})
    d.until("equal paths", symmetric)
    print("  refused: 7 by the DSM methods, round robin on unequal paths, and what is no policy")


def session(d, connections):
    """The only iSCSI session, once it has so many connections and all are up."""
    found = []

    def there():
        sessions = d.ok("msiscsi_query_lb_policy")["sessions"]
        assert len(sessions) == 1, sessions
        found[:] = sessions
        paths = sessions[0]["paths"]
        return len(paths) == connections and all(p["connection_status"] == 1 for p in paths)
    d.until(f"{connections} connections", there)
    return found[0]


def connections(d, portals):
    """A connection comes, another one goes, each MSiSCSI policy is set; and what Windows refuses."""
    set_policy = "msiscsi_lb_operations_set_load_balance_policy"
    s = session(d, 1)
    of = {"session_id": s["session_id"]}
    added = d.ok("msiscsi_add_connection", portal=portals[1], weight=7, **of)["connection_id"]
    more = d.ok("msiscsi_add_connection", portal=portals[0], primary=False, **of)["connection_id"]
    s = session(d, 3)
    assert {added, more} < {p["connection_id"] for p in s["paths"]}, s
    d.ok("msiscsi_remove_connection", connection_id=more, **of)
    s = session(d, 2)
    ids = [p["connection_id"] for p in s["paths"]]
    assert ids[1] == added and s["paths"][1]["weight"] == 7, s
    for policy in range(1, 7):
        paths = [{"connection_id": c, "primary": policy != 1 or n == 1, "weight": 3 + 4 * n}
                 for n, c in enumerate(ids)]
        d.ok(set_policy, policy=policy, paths=paths, **of)
        now = session(d, 2)
        assert now["policy"] == policy, now
        assert [p["primary"] for p in now["paths"]] == [p["primary"] for p in paths], now
    both = [{"connection_id": c} for c in ids]
    twice = [both[0], both[0]]
    nobody = [both[0], {"connection_id": "0x1"}]
    rest = [{"connection_id": c, "primary": False} for c in ids]
    for policy, paths, name in [
        (7, both, "ISDSC_INVALID_LOAD_BALANCE_POLICY"),
        (2, both[:1], "ISDSC_PATH_COUNT_MISMATCH"),
        (2, twice, "ISDSC_DUPLICATE_PATH_SPECIFIED"),
        (2, nobody, "ISDSC_INVALID_PATH_ID"),
        (1, both, "ISDSC_MULTIPLE_PRIMARY_PATHS_SPECIFIED"),
        (3, rest, "ISDSC_NO_PRIMARY_PATH_SPECIFIED"),
    ]:
        assert d.name(set_policy, policy=policy, paths=paths, **of) == name, name
    assert d.name("msiscsi_remove_connection", connection_id="0x1", **of) == "ISDSC_INVALID_CONNECTION_ID"
    assert d.name("msiscsi_add_connection", session_id="0x1", portal=portals[0]) == "ISDSC_INVALID_SESSION_ID"
    paths = [{"connection_id": c, "weight": 3 + 4 * n} for n, c in enumerate(ids)]
    d.ok(set_policy, policy=5, paths=paths, **of)
    print(f"  session {s['session_id']}: connections added, taken out, balanced; refused as Windows does")


def own(d):
    """The daemon's own methods that nothing above has called."""
    assert d.call("version_get")["name"] == "umpio"
    assert d.call("rpc_nothing") is True
    assert d.call("daemon_status")["luns"] == 2
    assert d.call("config_get")["file"].endswith("umpio.toml")
    assert d.call("config_reload") == {"changed": [], "restart_needed": [], "failed": []}
    assert d.call("defaults_set", policy="LB")["policy"] == d.call("defaults_get")["policy"] == "least-blocks"
    assert d.call("defaults_set")["policy"] is None
    assert d.call("timers_set", RetryCount=4) == d.call("timers_get")
    assert d.call("lun_create", name="scratch", paths=["null:1M"], policy="LQD")["name"] == "scratch"
    d.call("path_add", lun="scratch", url="null:2M", weight=1)
    paths = d.call("path_list", lun="scratch")
    assert len(paths) == 2, paths
    d.call("path_remove", lun="scratch", path=paths[1]["nexus_id"])
    assert d.call("policy_set", lun="scratch", policy="share")["policy"] == d.call(
        "policy_get", lun="scratch")["policy"]
    assert d.call("lun_close", lun="scratch") is True
    events = d.call("events_get", max=4096)["events"]
    kinds = {e["kind"] for e in events}
    assert {"lun_opened", "lun_closed", "path_added", "path_removed", "policy_changed"} <= kinds, kinds
    assert d.call("serve_list")[0]["state"] == "serving"
    assert "umpio_nexus_ios_total" in d.call("metrics_get")
    nexus = d.call("lun_get", lun="m")["paths"][0]["nexus_id"]
    before = next(n for n in d.call("nexus_list") if n["nexus_id"] == nexus)["logins"]
    assert d.call("nexus_reset", nexus=nexus) is True
    d.until("the nexus is back", lambda: any(
        n["nexus_id"] == nexus and n["state"] == "up" and n["logins"] > before
        for n in d.call("nexus_list")))
    for method, params, code, field in [
        ("policy_set", {"lun": d.lun, "policy": "best"}, -32602, "policy"),
        ("lun_get", {"lun": "nobody"}, -32602, "lun"),
        ("path_remove", {"lun": d.lun, "path": "0x1"}, -32602, "path"),
        ("vds_lun_mpio_set_load_balance_policy", {"lun": d.lun, "policy": -1}, -32602, "policy"),
        ("msiscsi_add_connection", {"session_id": "0x1", "portal": "h:0"}, -32602, "portal"),
        ("no_such_method", {}, -32601, None),
    ]:
        try:
            d.client.call(method, params)
        except JSONRPCException as e:
            # The client puts the request before it, as text.
            error = json.loads(str(e).split("response:", 1)[1])
            assert (error["code"], error.get("data", {}).get("field")) == (code, field), (method, error)
        else:
            raise AssertionError(f"{method} {params} was taken")


def objects(d):
    """Each method of the Windows-shaped objects, with parameters that succeed."""
    first = lambda method, **params: d.ok(method, **params)["objects"][0]["id"]
    target = first("vds_sub_system_iscsi_query_targets")
    portal = first("vds_sub_system_iscsi_query_portals")
    group = first("vds_iscsi_target_query_portal_groups", id=target)
    adapter = first("vds_service_iscsi_query_initiator_adapters")
    source = first("vds_iscsi_initiator_adapter_query_initiator_portals", id=adapter)
    ids = {"vds_iscsi_target_": target, "vds_iscsi_portal_group_": group, "vds_iscsi_portal_": portal,
           "vds_iscsi_initiator_adapter_": adapter, "vds_iscsi_initiator_portal_": source,
           "vds_": d.call("lun_get", lun=d.lun)["guid"]}
    path_ids = [p["nexus_id"] for p in d.call("path_list", lun=d.lun)]
    removes = {"msdsm_set_default_load_balance_policy", "msdsm_set_target_default_load_balance_policy"}
    document = d.call("rpc.discover")
    described = {m["name"]: [p["name"] for p in m["params"] if p.get("required")] for m in document["methods"]}
    methods = set(d.call("rpc_get_methods"))
    assert set(described) == methods, set(described) ^ methods
    families = ("vds_", "dsm_", "msdsm_", "mpio_", "wmi_")
    for method in sorted(m for m in methods if m.startswith(families)):
        values = {"lun": d.lun, "instance": d.lun, "policy": 4, "type": 33, "iid": "IVdsLunMpio", "method": 4,
                  "hardware_id": "UMPIO   scratch         ", "raw": "AAAAAAAAAAAAAAAAAAAAAA==",
                  "class": "MPIO_WMI_METHODS" if method == "wmi_execute" else "MSDSM_DEFAULT_LOAD_BALANCE_POLICY",
                  "id": next((i for prefix, i in ids.items() if method.startswith(prefix)), None)}
        params = {name: values[name] for name in described[method]}
        if method.startswith("dsm_lb_operations_"):
            params.update(policy=4, paths=[{"path_id": p} for p in path_ids])
        d.ok(method, **params)
        if method in removes:
            d.ok(method, **{**params, "policy": 0})
    left = methods - d.called - {"daemon_shutdown"}
    assert not left, f"never called: {sorted(left)}"
    print(f"  all of {len(methods)} methods, by families of vds, dsm, msdsm, mpio, wmi, msiscsi and our own")


def kept(d):
    lun, _ = walk(d)
    got = d.ok("vds_lun_mpio_get_load_balance_policy", lun=lun)
    objects = d.ok("vds_lun_mpio_get_path_info", lun=lun)["paths"]
    status = d.call("daemon_status")
    s = session(d, 2)
    policy = d.call("policy_get", lun=d.lun)
    ids = ("path_id", "source_id", "target_portal_id", "initiator_adapter_id")
    return {
        "lun": lun, "policy": got["policy"], "paths": got["paths"],
        "objects": [[o[i] for i in ids] for o in objects],
        "ours": {k: policy[k] for k in ("policy", "source")},
        "host": [status[k] for k in ("host_nqn", "host_id", "initiator_name")],
        "dsm": d.ok("dsm_query_unique_id", instance=d.lun)["dsm_unique_id"],
        "session": {k: s[k] for k in ("session_id", "policy")},
        "connections": [[p[k] for k in ("portal", "weight", "primary")] for p in s["paths"]],
    }


def main(socket, lun, what, *portals):
    d = Daemon(socket, lun)
    if what == "shutdown":
        assert d.call("daemon_shutdown") is True
        return
    if what == "kept":
        d.until("both paths", lambda: d.call("lun_get", lun=lun)["paths_up"] == 2)
        print(json.dumps(kept(d), sort_keys=True))
        return
    guid, paths = walk(d)
    print(f"  service, provider, subsystem, LUN {guid}, {len(paths)} paths")
    policies(d, guid, paths)
    refusals(d, guid, paths, JSONRPCClient(what, timeout=PATIENCE))
    connections(d, portals)
    own(d)
    objects(d)
    # What the restarts are to keep.
    d.ok("vds_lun_mpio_set_load_balance_policy", lun=guid, policy=5, paths=weights(paths, 1))


if __name__ == "__main__":
    main(*sys.argv[1:])
