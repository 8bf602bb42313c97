#!/usr/bin/env python3
"""Builds the second half of the lab's machine: Linux's own iSCSI initiator and dm-multipath.

    initiator.py [LAB]      after build.py; LAB as there

Debian's open-iscsi, multipath-tools and udev, with the libraries they need, as one more archive
that the kernel unpacks after LAB/initrd.cpio; vm.py starts the machine with it on request.

Result: LAB/initiator.cpio and LAB/initiator.stamp. Exit status 75 as build.py's.
"""
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import build

PACKAGES = "open-iscsi multipath-tools dmsetup udev".split()
PROGRAMS = "iscsid iscsiadm multipath multipathd dmsetup udevadm".split()
# Loaded after build.py's, in this order, each with what it depends on.
MODULES = """sd_mod sg scsi_transport_iscsi iscsi_tcp scsi_dh_alua dm_mod dm_multipath
             dm_round_robin dm_queue_length dm_service_time md5""".split()
# What udev's database needs so that multipathd takes a disk for a disk.
RULES = "50-udev-default 55-dm 60-persistent-storage 60-persistent-storage-dm 95-dm-notify 60-multipath".split()
HELPERS = "scsi_id".split()
FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin")
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "lib", "usr/lib", "lib/multipath",
             "usr/lib/x86_64-linux-gnu/systemd", "lib/systemd", "usr/lib/systemd")


def first(*candidates):
    return next((c for c in candidates if c.is_file()), None)


def needed(files, tree):
    """The shared libraries that files need: the tree's first, else the host's. name -> path"""
    env = dict(os.environ, LD_LIBRARY_PATH=":".join(str(tree / d) for d in LIBRARIES))
    found = {}
    for file in files:
        out = subprocess.run(["ldd", str(file)], env=env, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, check=False).stdout
        for line in out.splitlines():
            if "not found" in line:
                raise SystemExit(f"{file.name} needs {line.split()[0]}, which no package brought")
            for path in re.findall(r"(/\S+)", line.split("=>")[-1])[:1]:
                found[Path(path).name] = Path(path)
    return found


def archive(tree, modules):
    image = build.Cpio()
    made = set()

    def folder(path):
        for part in [*reversed(Path(path).parents), Path(path)]:
            name = str(part)
            if name not in made and name not in (".", *build.DIRS):
                image.add(name, stat.S_IFDIR | 0o755)
            made.add(name)

    def file(where, data, mode=0o755):
        folder(Path(where).parent)
        image.add(where, stat.S_IFREG | mode, data)

    binaries = []
    for name in PROGRAMS:
        path = first(*(tree / d / name for d in FOLDERS))
        if not path:
            raise SystemExit(f"no package brought {name}")
        binaries.append(path)
        file(f"usr/bin/{name}", path.read_bytes())
    folder("lib/systemd")
    image.add("lib/systemd/systemd-udevd", stat.S_IFLNK | 0o777, b"/usr/bin/udevadm")
    # udev's rules and multipath's own calls name programs by their old places.
    folder("sbin")
    for name in ("multipath", "dmsetup"):
        image.add(f"sbin/{name}", stat.S_IFLNK | 0o777, f"/usr/bin/{name}".encode())
    for name in RULES:
        path = first(*(tree / d / f"udev/rules.d/{name}.rules" for d in ("lib", "usr/lib")))
        if path:
            file(f"lib/udev/rules.d/{name}.rules", path.read_bytes(), 0o644)
    for name in HELPERS:
        path = first(*(tree / d / f"udev/{name}" for d in ("lib", "usr/lib")))
        if path:
            binaries.append(path)
            file(f"lib/udev/{name}", path.read_bytes())
    plugins = sorted({p.name: p for p in tree.glob("**/multipath/lib*.so")}.items())
    for name, path in plugins:
        file(f"lib/multipath/{name}", path.read_bytes())
    libraries = needed([*binaries, *(p for _, p in plugins)], tree)
    # glibc opens this one by itself when a thread is cancelled, which multipathd does.
    unwinder = first(Path("/lib/x86_64-linux-gnu/libgcc_s.so.1"), tree / "lib/x86_64-linux-gnu/libgcc_s.so.1")
    if unwinder:
        libraries["libgcc_s.so.1"] = unwinder
    for name, path in sorted(libraries.items()):
        file(f"{'lib64' if name.startswith('ld-linux') else 'usr/lib/x86_64-linux-gnu'}/{name}", path.read_bytes())
    for number, (name, data) in enumerate(modules.items()):
        file(f"lib/modules/5{number:02}-{name}.ko", data, 0o644)
    file("bin/initiator", (build.HERE / "guest/initiator").read_bytes())
    return image.done()


def inputs():
    digest = hashlib.sha256(build.inputs().encode())
    for path in (Path(__file__), build.HERE / "guest/initiator"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main():
    lab = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("UMPIO_LAB") or "target/lab").resolve()
    if not (lab / "stamp").exists():
        build.cannot("build.py comes first")
    stamp = lab / "initiator.stamp"
    if stamp.exists() and stamp.read_text() == inputs():
        return
    stamp.unlink(missing_ok=True)
    for old in ("apt", "kernel", "initiator"):
        shutil.rmtree(lab / old, ignore_errors=True)
    apt = build.Apt(lab / "apt")
    apt.get("update")
    kernel = apt.kernel()
    apt.get("download", kernel, cwd=apt.archives)
    apt.unpack(lab / "kernel")
    loaded = build.module_files(lab / "kernel", build.MODULES)
    modules = {name: data for name, data in build.module_files(lab / "kernel", MODULES).items() if name not in loaded}
    # --reinstall: what the host has already must be unpacked here as well
    apt.get("install", "-y", "--download-only", "--reinstall", "--no-install-recommends", *PACKAGES)
    apt.unpack(lab / "initiator", skip=("libc6_", "libc-bin_"))
    (lab / "initiator.cpio").write_bytes(archive(lab / "initiator", modules))
    for done in ("apt", "kernel", "initiator"):
        shutil.rmtree(lab / done)
    stamp.write_text(inputs())
    print(f"initiator built from {kernel}, {', '.join(PACKAGES)}")


if __name__ == "__main__":
    main()
