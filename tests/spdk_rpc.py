"""umpio's daemon asked by PyPI's spdk client: python3 tests/spdk_rpc.py SOCKET LUN"""

import sys

from spdk.rpc.client import JSONRPCClient, JSONRPCException


def main(socket, lun):
    client = JSONRPCClient(socket, timeout=30)
    methods = client.call("rpc_get_methods")
    assert "policy_set" in methods, methods
    paths = client.call("path_list", {"lun": lun})
    for policy in ("failover", "round-robin", "round-robin-with-subset", "least-queue-depth",
                   "weighted-paths", "least-blocks", "latency", "share"):
        answer = client.call("policy_set", {"lun": lun, "policy": policy})
        assert answer["policy"] == policy, answer
    weights = [{"path": p["nexus_id"], "weight": n + 1} for n, p in enumerate(paths)]
    client.call("policy_set", {"lun": lun, "policy": "weighted-paths", "paths": weights})
    found = client.call("policy_get", {"lun": lun})
    assert [p["weight"] for p in found["paths"]] == [n + 1 for n in range(len(paths))], found
    try:
        client.call("policy_set", {"lun": lun, "policy": "best"})
    except JSONRPCException as e:
        assert "least-queue-depth" in str(e), e
    else:
        raise AssertionError("a policy that nobody knows was taken")
    print(f"{len(methods)} methods, {len(paths)} paths: PyPI's spdk client and umpio understand each other")


if __name__ == "__main__":
    main(*sys.argv[1:])
