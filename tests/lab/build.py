#!/usr/bin/env python3
"""Builds the lab's machine from Debian packages: qemu, a kernel and a busybox image.

    build.py [LAB]        LAB: where to keep it all, $UMPIO_LAB or target/lab by default

Packages are downloaded by apt (which checks their signatures) into LAB and unpacked there;
nothing is installed, no root is needed and the host's own qemu packages do not matter: apt
picks one suite for qemu, and what the host has of another suite stays as it is. A second
call finds everything in place and takes no time; LAB_REBUILD=1 starts over.

Result: LAB/vmlinux, LAB/initrd.cpio, LAB/qemu (a link to the program) and LAB/stamp.
Exit status 75 where this host cannot have a lab (no apt, no x86-64): callers skip.
"""
import hashlib
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The first of these that apt knows.
KERNELS = os.environ.get("LAB_KERNEL", "linux-image-6.12-amd64 linux-image-amd64").split()
# Loaded at boot in this order, each with what it depends on.
MODULES = """virtio_pci virtio_net virtio_rng configfs crc32c_generic crc32c_intel
             null_blk nvmet nvmet_tcp target_core_mod target_core_file iscsi_target_mod""".split()
DIRS = "bin dev lib lib/modules proc run sys tmp".split()
CANNOT = 75


def cannot(why):
    print(f"no lab here: {why}", file=sys.stderr)
    sys.exit(CANNOT)


def run(*argv, **kw):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=600, check=False, **kw)
    if done.returncode:
        tail = done.stdout.decode(errors="replace")[-2000:]
        raise SystemExit(f"{' '.join(map(str, argv))}: status {done.returncode}\n{tail}")
    return done.stdout


class Apt:
    """apt with lists and archives of its own; the host's are only read."""

    def __init__(self, home):
        for d in ("lists/partial", "cache/archives/partial"):
            (home / d).mkdir(parents=True, exist_ok=True)
        self.archives = home / "cache/archives"
        self.options = [
            "-qq", "-o", f"Dir::State::lists={home}/lists", "-o", f"Dir::Cache={home}/cache",
            "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"]

    def get(self, *argv, **kw):
        return run("apt-get", *self.options, *argv, **kw)

    def dependencies(self, name):
        done = subprocess.run(["apt-cache", *self.options, "depends", name], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return re.findall(r"^\s*Depends: (\S+)", done.stdout, re.M)

    def kernel(self):
        """The package behind the first meta package that apt knows."""
        for name in KERNELS:
            for dependency in self.dependencies(name):
                if dependency.startswith("linux-image-"):
                    return dependency
            if re.fullmatch(r"linux-image-\d+\.\d+\.\S+", name):
                return name
        raise SystemExit(f"apt knows none of {KERNELS}")

    def unpack(self, tree, skip=()):
        for deb in sorted(self.archives.glob("*.deb")):
            if not deb.name.startswith(skip):
                run("dpkg-deb", "-x", str(deb), str(tree))
            deb.unlink()


def vmlinux(image):
    """The ELF kernel inside a bzImage: started at its PVH entry, so that nothing is
    decompressed under emulation. Where the payload lies stands in the setup header."""
    setup_sectors = image[0x1F1]
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start:start + length]
    for magic, tool in ((b"\xfd7zXZ", ["xz", "-dcq", "--single-stream"]),
                        (b"\x28\xb5\x2f\xfd", ["zstd", "-dcq"]),
                        (b"\x1f\x8b", ["gzip", "-dcq"])):
        if payload.startswith(magic):
            # The last four bytes are the unpacked size, at which the tools grumble.
            got = subprocess.run(tool, input=payload, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, check=False).stdout
            if got[:4] == b"\x7fELF":
                return got
    raise SystemExit("the kernel is packed in a way this script does not know")


def module_files(tree, wanted):
    """Module name -> bytes, for those wanted and what they need, in an order that loads."""
    found = {}
    for path in tree.glob("**/kernel/**/*.ko*"):
        found[path.name.split(".ko")[0].replace("-", "_")] = path
    order = {}

    def add(name):
        if name in order or name not in found:      # not found: built into the kernel
            return
        path = found[name]
        data = path.read_bytes()
        if path.suffix in (".xz", ".zst"):
            tool = "xz" if path.suffix == ".xz" else "zstd"
            data = run(tool, "-dcq", str(path))
        depends = re.search(rb"\0depends=([^\0]*)\0", data)
        for other in (depends.group(1).decode().split(",") if depends else []):
            add(other.replace("-", "_"))
        order[name] = data

    for name in wanted:
        add(name)
    return order


class Cpio:
    """A newc archive, as the kernel wants its first file system; device nodes need no root."""

    def __init__(self):
        self.out, self.inode = bytearray(), 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        name = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
        self.out += b"070701" + b"".join(b"%08X" % f for f in fields) + name
        self.out += bytes(-len(self.out) % 4) + data
        self.out += bytes(-len(self.out) % 4)

    def done(self):
        self.add("TRAILER!!!", 0)
        return bytes(self.out)


def initrd(busybox, modules):
    image = Cpio()
    for directory in DIRS:
        image.add(directory, stat.S_IFDIR | 0o755)
    image.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    image.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    image.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for number, (name, data) in enumerate(modules.items()):
        image.add(f"lib/modules/{number:03}-{name}.ko", stat.S_IFREG | 0o644, data)
    for name, where in (("init", "init"), ("lab", "bin/lab"), ("lio", "bin/lio")):
        image.add(where, stat.S_IFREG | 0o755, (HERE / "guest" / name).read_bytes())
    return image.done()


def inputs():
    """What a finished lab was made from."""
    digest = hashlib.sha256(" ".join(KERNELS).encode())
    for path in (Path(__file__), *(HERE / "guest" / f for f in ("init", "lab", "lio"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main():
    lab = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("UMPIO_LAB") or "target/lab")
    if os.uname().machine != "x86_64":
        cannot(f"this is a {os.uname().machine} machine, and the lab's is x86-64")
    for tool in ("apt-get", "dpkg-deb", "xz"):
        if not shutil.which(tool):
            cannot(f"{tool} is not installed")
    lab.mkdir(parents=True, exist_ok=True)
    lab = lab.resolve()
    stamp = lab / "stamp"
    if stamp.exists() and stamp.read_text() == inputs() and not os.environ.get("LAB_REBUILD"):
        return
    stamp.unlink(missing_ok=True)
    for old in ("apt", "kernel", "tree"):
        shutil.rmtree(lab / old, ignore_errors=True)
    apt = Apt(lab / "apt")
    apt.get("update")

    kernel = apt.kernel()
    apt.get("download", kernel, cwd=apt.archives)
    apt.unpack(lab / "kernel")
    image, = (lab / "kernel/boot").glob("vmlinuz-*")
    (lab / "vmlinux").write_bytes(vmlinux(image.read_bytes()))

    # apt may have to plan the removal of another suite's qemu: it only downloads.
    system = shutil.which("qemu-system-x86_64")
    if not system:
        apt.get("install", "-y", "--download-only", "--no-install-recommends", "qemu-system-x86")
    apt.get("download", "busybox-static", cwd=apt.archives)
    # The C library is the host's: a second one cannot be mixed in.
    apt.unpack(lab / "tree", skip=("libc6_", "libc-bin_"))
    qemu = Path(system) if system else lab / "tree/usr/bin/qemu-system-x86_64"
    (lab / "qemu").unlink(missing_ok=True)
    (lab / "qemu").symlink_to(qemu if system else qemu.relative_to(lab))

    modules = module_files(lab / "kernel", MODULES)
    missing = {"nvmet", "nvmet_tcp", "null_blk", "target_core_file", "iscsi_target_mod"} - set(modules)
    if missing:
        raise SystemExit(f"the kernel package lacks {missing}")
    busybox = next(p for p in (lab / "tree/bin/busybox", lab / "tree/usr/bin/busybox") if p.exists())
    (lab / "initrd.cpio").write_bytes(initrd(busybox, modules))
    shutil.rmtree(lab / "apt")
    shutil.rmtree(lab / "kernel")
    stamp.write_text(inputs())
    print(f"lab built from {kernel}, busybox-static and {'the host' if system else 'Debian'}'s qemu")


if __name__ == "__main__":
    main()
