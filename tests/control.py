"""The walk of tests/control.sh, by PyPI's spdk client: python3 tests/control.py SOCKET LUN (TARGET|kept)

With the control socket of the target: from the service to the paths, each policy under I/O, and what
Windows refuses. With `kept`: prints what a restart must not change.
"""

import json
import sys
import time

from spdk.rpc.client import JSONRPCClient

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

    def call(self, method, **params):
        return self.client.call(method, params)

    def ok(self, method, **params):
        answer = self.call(method, **params)
        assert answer.get("hresult", answer.get("status")) == 0, (method, params, answer)
        return answer

    def name(self, method, **params):
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
    lun = one(d.ok("vds_sub_system_query_luns", subsystem=subsystem), "LUN")
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


def kept(d):
    lun, _ = walk(d)
    got = d.ok("vds_lun_mpio_get_load_balance_policy", lun=lun)
    objects = d.ok("vds_lun_mpio_get_path_info", lun=lun)["paths"]
    status = d.call("daemon_status")
    policy = d.call("policy_get", lun=d.lun)
    ids = ("path_id", "source_id", "target_portal_id", "initiator_adapter_id")
    return {
        "lun": lun, "policy": got["policy"], "paths": got["paths"],
        "objects": [[o[i] for i in ids] for o in objects],
        "ours": {k: policy[k] for k in ("policy", "source")},
        "host": [status[k] for k in ("host_nqn", "host_id", "initiator_name")],
        "dsm": d.ok("dsm_query_unique_id", instance=d.lun)["dsm_unique_id"],
    }


def main(socket, lun, what):
    d = Daemon(socket, lun)
    if what == "kept":
        d.until("both paths", lambda: d.call("lun_get", lun=lun)["paths_up"] == 2)
        print(json.dumps(kept(d), sort_keys=True))
        return
    guid, paths = walk(d)
    print(f"  service, provider, subsystem, LUN {guid}, {len(paths)} paths")
    policies(d, guid, paths)
    refusals(d, guid, paths, JSONRPCClient(what, timeout=PATIENCE))
    # What the restarts are to keep.
    d.ok("vds_lun_mpio_set_load_balance_policy", lun=guid, policy=5, paths=weights(paths, 1))


if __name__ == "__main__":
    main(*sys.argv[1:])
