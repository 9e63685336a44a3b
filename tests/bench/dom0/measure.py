# Watches the consoles of guests while they work, and reads every domain's processor time from Xen in the midst of each job.
#
# usage: measure.py TOKEN GUEST...
#
# Each guest says "@TOKEN begin JOB", and waits for an answer, which comes when all have said so; then "@TOKEN running", when its
# part of the job is under way, for longer than START + WINDOW seconds from when the last has said so. Nothing here polls: between
# two lines of a console, or two readings, this sleeps. So Dom0's processor time is its backend's, if it is the one that
# serves, but for what "idle" shows, and what its own peer takes.
#
# In a round called "profile", QEMU also writes down every instruction of LOGGED seconds, into the file named in /profile.
import os
import sys
import threading
import time

sys.path.insert(0, "/usr/lib/xen-4.20/lib/python/xen/lowlevel")
import xc

# Seconds: what works is through with its own start before START, and a job lasts until well after the window.
START, WINDOW = 1.0, 2.0
LOGGED = 0.02

token, *guests = sys.argv[1:]
hypervisor = xc.xc()


def output(command):
    with os.popen(command) as pipe:
        return pipe.read().strip()


def reading():
    """The time, and each domain's processor time by its number; ns."""
    cpu = {info["domid"]: info["cpu_time"] for info in hypervisor.domain_getinfo()}
    return time.monotonic_ns(), cpu


def relay(name, tty):
    """Shows a console, and passes on which jobs are about to begin."""
    try:
        for line in tty:
            line = line.decode(errors="replace").strip()
            print(f"{name}| {line}", flush=True)
            words = line.split()
            if words[:2] == [f"@{token}", "begin"]:
                begin(words[2])
            if words[:2] == [f"@{token}", "running"]:
                running.release()
    finally:
        if name in guests:
            begin("nothing: a console is closed")
            running.release()


def begin(job):
    begins.append(job)
    begun.release()


def write_down_everything():
    with open("/profile") as file:
        path = file.read()
    for command in (f'logfile "{path}"', "one-insn-per-tb on", "log exec,nochain"):
        print(f"@{token} monitor {command}", flush=True)
    time.sleep(LOGGED)
    for command in ("log none", "one-insn-per-tb off"):
        print(f"@{token} monitor {command}", flush=True)


begins, begun, running = [], threading.Semaphore(0), threading.Semaphore(0)
answers = []
names = {number: output(f"xl domname {number}") for number in reading()[1]}
for number, name in names.items():
    if name == "Domain-0":
        continue
    path = output(f"xenstore-read /local/domain/{number}/console/tty")
    tty = open(path, "r+b", buffering=0)
    if name in guests:
        answers.append(tty)
    threading.Thread(target=relay, args=(name, tty), daemon=True).start()

while True:
    for _ in guests:
        begun.acquire()
    (job,), begins = set(begins), []
    if job == "last":
        break
    for tty in answers:
        tty.write(b"go\n")
    for _ in guests:
        running.acquire()
    time.sleep(START)
    if job.endswith(".profile"):
        write_down_everything()
    began, before = reading()
    time.sleep(WINDOW)
    ended, after = reading()
    spent = [f"{name}={after[number] - before[number]}" for number, name in names.items()]
    print(f"@{token} value {job}/cpu window={ended - began}", *spent, flush=True)
