# Watches one guest's console while it works, and takes every domain's processor time at the edges of each job.
#
# usage: measure.py GUEST TOKEN
#
# The guest says "@TOKEN begin JOB" and "@TOKEN end JOB" and waits for an answer each time. Between the two, this waits
# in one blocking read: Dom0 polls nothing, so that its processor time is the backend's, if Linux serves from here.
import os
import sys
import time

sys.path.insert(0, "/usr/lib/xen-4.20/lib/python/xen/lowlevel")
import xc

guest, token = sys.argv[1:]
hypervisor = xc.xc()


def read(command):
    with os.popen(command) as pipe:
        return pipe.read().strip()


def sample():
    """The time, and the processor time of each domain by its number: both in ns."""
    cpu = {info["domid"]: info["cpu_time"] for info in hypervisor.domain_getinfo()}
    return time.monotonic_ns(), cpu


domid = read(f"xl domid {guest}")
names = {int(number): read(f"xl domname {number}") for number in read("xenstore-list /local/domain").split()}
tty = os.open(read(f"xenstore-read /local/domain/{domid}/console/tty"), os.O_RDWR | os.O_NOCTTY)
print("measure: reading", guest, flush=True)
begun = None
for line in os.fdopen(os.dup(tty), "r", errors="replace"):
    line = line.strip()
    word, _, job = line.removeprefix(f"@{token} ").partition(" ")
    if not line.startswith(f"@{token} ") or word not in ("begin", "end"):
        print(f"{guest}| {line}", flush=True)
        continue
    if word == "begin":
        begun = sample()
    else:
        began, before = begun
        ended, after = sample()
        spent = [f"{names[number]}={after[number] - cpu}" for number, cpu in before.items() if number in after]
        print(f"@{token} value {job}/cpu window={ended - began}", *spent, flush=True)
        if job == "last":
            break
    os.write(tty, b"go\n")
