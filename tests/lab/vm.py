#!/usr/bin/env python3
"""Starts, commands and stops the lab's machine (build.py makes its parts).

    vm.py start DIR             boots it, nvmet and LIO up; prints four ports on 127.0.0.1:
                                nvmet's two, then LIO's two
    vm.py start DIR initiator   with Linux's own initiator as well (initiator.py), which reaches
                                this host's 127.0.0.1 as 10.0.2.2
    vm.py tell DIR COMMAND...   runs a shell line in it: same output, same exit status
    vm.py stop DIR              ends it

DIR holds one running machine (pid, console.log, qemu.log, the control socket) and the file
ports. The lab's parts come from $UMPIO_LAB (target/lab by default). KVM is used where it
runs an ordinary kernel, emulation else; LAB_TCG=1 insists on emulation.
"""
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

BOOT_LIMIT_S = 180          # 3 s on an idle host; emulation on a loaded one takes its time
COMMAND_LIMIT_S = 90        # beyond the guest's own limit on a command
GUEST_PORTS = (4420, 4421, 3260, 3261)


def free_ports(count):
    holders = [socket.socket() for _ in range(count)]
    try:
        for s in holders:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in holders]
    finally:
        for s in holders:
            s.close()


def accelerator():
    # A paravirtual-only KVM (kvm_pvm) has the device node but runs no ordinary kernel.
    usable = os.access("/dev/kvm", os.W_OK) and not Path("/sys/module/kvm_pvm").exists()
    if usable and not os.environ.get("LAB_TCG"):
        return ["-accel", "kvm", "-accel", "tcg", "-cpu", "max"]
    return ["-accel", "tcg", "-cpu", "max"]


def alive(run):
    """The pid of DIR's qemu; None when it is gone, or its number is another's by now."""
    try:
        pid = int((run / "pid").read_text())
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, ValueError):
        return None
    return pid if f"guest={run}".encode() in argv and stat[0] != "Z" else None


def launch(lab, run, ports, initiator):
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{guest}"
                       for host, guest in zip(ports, GUEST_PORTS))
    # Under load the emulated TSC is calibrated wrongly and the guest's clock then runs
    # several times too fast; the HPET is not calibrated at all.
    kernel_line = ("console=ttyS0 quiet panic=-1 mitigations=off tsc=unstable clocksource=hpet "
                   "lab.boot=up")
    env = dict(os.environ)
    tree = lab / "tree"
    qemu = (lab / "qemu").resolve()
    firmware = []
    if qemu.is_relative_to(tree):
        folders = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
        env["LD_LIBRARY_PATH"] = ":".join(str(tree / f) for f in folders)
        env["QEMU_MODULE_DIR"] = str(tree / "usr/lib/x86_64-linux-gnu/qemu")
        firmware = ["-L", str(tree / "usr/share/qemu"), "-L", str(tree / "usr/share/seabios")]
    images = [lab / "initrd.cpio"] + [lab / "initiator.cpio"] * initiator
    with open(run / "initrd", "wb") as joined:      # the kernel unpacks archives in a row
        for image in images:
            joined.write(image.read_bytes())
    # restricted: the guest reaches nothing, only the forwarded ports lead in. As an initiator it
    # has to reach a target here; no address but this host's is of use to it.
    restrict = "off" if initiator else "on"
    argv = [
        str(qemu), "-name", f"guest={run}", "-M", "pc", *accelerator(), "-m", "512", "-smp", "1",
        *firmware, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(lab / "vmlinux"), "-initrd", "initrd",
        "-append", kernel_line,
        "-chardev", "file,id=console,path=console.log", "-serial", "chardev:console",
        "-chardev", "socket,id=control,path=control,server=on,wait=off",
        "-serial", "chardev:control", "-device", "virtio-rng-pci",
        "-netdev", f"user,id=net,restrict={restrict}{forwards}",
        "-device", "virtio-net-pci,netdev=net,romfile="]
    with open(run / "qemu.log", "wb") as log:
        child = subprocess.Popen(argv, cwd=run, env=env, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, start_new_session=True)
    (run / "pid").write_text(f"{child.pid}\n")
    return child


def text(path):
    return path.read_text(errors="replace") if path.exists() else ""


def start(run, initiator):
    lab = Path(os.environ.get("UMPIO_LAB") or "target/lab").resolve()
    run.mkdir(parents=True, exist_ok=True)
    for attempt in range(3):            # a port can be taken between the look and the use
        ports = free_ports(len(GUEST_PORTS))
        for name in ("console.log", "control"):
            (run / name).unlink(missing_ok=True)
        child = launch(lab, run, ports, initiator)
        began = time.monotonic()
        while child.poll() is None:
            console = text(run / "console.log")
            if "LAB-READY" in console:
                if "LAB-FAILED" in console or "LAB-ODD" in console:
                    stop(run)
                    raise SystemExit(f"the machine came up badly:\n{console[-2000:]}")
                (run / "ports").write_text(" ".join(map(str, ports)) + "\n")
                print(*ports)
                return 0
            if time.monotonic() - began > BOOT_LIMIT_S:
                stop(run)
                raise SystemExit(f"not up in {BOOT_LIMIT_S} s:\n{console[-2000:]}")
            time.sleep(0.05)
        log = text(run / "qemu.log")
        if "hostfwd" not in log and "host forwarding" not in log:
            break
    raise SystemExit(f"qemu ended:\n{log}{text(run / 'console.log')[-2000:]}")


def tell(run, command):
    if not alive(run):
        raise SystemExit("the machine is not running")
    here = os.getcwd()
    os.chdir(run)                       # a socket's path is short: stay below the limit
    channel = socket.socket(socket.AF_UNIX)
    channel.settimeout(COMMAND_LIMIT_S)
    channel.connect("control")
    os.chdir(here)
    tag = f"{os.getpid()}-{time.monotonic_ns()}"
    channel.sendall(f"\n{tag} {command}\n".encode())
    got, mark = b"", f"@@ {tag} ".encode()
    while mark not in got or not got.endswith(b"\n"):
        more = channel.recv(65536)
        if not more:
            raise SystemExit("the machine went away")
        got += more
    out, status = got.replace(b"\r\n", b"\n").split(mark)
    sys.stdout.write(out.decode(errors="replace"))
    return int(status)


def stop(run):
    for sign, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        pid = alive(run)
        if pid:
            os.kill(pid, sign)
        until = time.monotonic() + patience_s
        while alive(run) and time.monotonic() < until:
            time.sleep(0.05)
    (run / "pid").unlink(missing_ok=True)
    return 0


def main(argv):
    if len(argv) < 2:
        raise SystemExit(__doc__)
    run = Path(argv[1]).resolve()
    if argv[0] == "start":
        return start(run, argv[2:] == ["initiator"])
    if argv[0] == "tell" and len(argv) > 2:
        return tell(run, " ".join(argv[2:]))
    if argv[0] == "stop":
        return stop(run)
    raise SystemExit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
