# Watches one guest's console while it works, and reads every domain's processor time from Xen in the midst of each job.
#
# usage: measure.py GUEST TOKEN
#
# The guest says "@TOKEN begin JOB", and waits for an answer; a job runs for longer than START + WINDOW seconds. Nothing
# here polls: between two lines of a console, or two readings, this sleeps. So Dom0's processor time is its backend's,
# if it is the one that serves, but for what "idle" shows.
#
# In a round called "profile", QEMU also writes down every instruction of LOGGED seconds, into the file named in /profile.
import os
import sys
import threading
import time

sys.path.insert(0, "/usr/lib/xen-4.20/lib/python/xen/lowlevel")
import xc

# Seconds: fio is through with its own start well before START, and a job lasts until well after the window.
START, WINDOW = 1.0, 2.0
LOGGED = 0.02

guest, token = sys.argv[1:]
hypervisor = xc.xc()


def output(command):
    with os.popen(command) as pipe:
        return pipe.read().strip()


def reading():
    """The time, and each domain's processor time by its number; ns."""
    cpu = {info["domid"]: info["cpu_time"] for info in hypervisor.domain_getinfo()}
    return time.monotonic_ns(), cpu


def console(number):
    path = output(f"xenstore-read /local/domain/{number}/console/tty")
    return open(path, "r+b", buffering=0)


def relay(name, lines):
    for line in lines:
        print(f"{name}| {line.decode(errors='replace').strip()}", flush=True)


def write_down_everything():
    with open("/profile") as file:
        path = file.read()
    for command in (f'logfile "{path}"', "one-insn-per-tb on", "log exec,nochain"):
        print(f"@{token} monitor {command}", flush=True)
    time.sleep(LOGGED)
    for command in ("log none", "one-insn-per-tb off"):
        print(f"@{token} monitor {command}", flush=True)


names = {number: output(f"xl domname {number}") for number in reading()[1]}
for number, name in names.items():
    if name not in ("Domain-0", guest):
        threading.Thread(target=relay, args=(name, console(number)), daemon=True).start()

(number,) = (number for number, name in names.items() if name == guest)
tty = console(number)
for line in tty:
    relay(guest, [line])
    words = line.decode(errors="replace").split()
    if words[:2] != [f"@{token}", "begin"]:
        continue
    job = words[2]
    if job == "last":
        break
    tty.write(b"go\n")
    time.sleep(START)
    if job.endswith(".profile"):
        write_down_everything()
    began, before = reading()
    time.sleep(WINDOW)
    ended, after = reading()
    spent = [f"{name}={after[number] - before[number]}" for number, name in names.items()]
    print(f"@{token} value {job}/cpu window={ended - began}", *spent, flush=True)
