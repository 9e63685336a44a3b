# How long it takes from `xl create` of a driver domain until it says that it serves.
#
# usage: create.py TOKEN NAME TEXT ROUND
#
# What a Linux is told of its addresses in between (addresses.py) is not counted: no driver domain of Linux would have it.
import os
import sys
import time

token, name, text, number = sys.argv[1:]
configuration = f"/etc/xen/outrigger/{name}.cfg"
log = f"/var/log/xen/console/guest-{name}.log"
if os.path.exists(log):
    os.remove(log)


def output(command):
    with os.popen(command) as pipe:
        return pipe.read().strip()


began = time.monotonic()
if os.environ["BACKEND"] == "linux-domain":
    output(f"xl create -p {configuration}")
    paused = time.monotonic()
    mib = output(f"xl list {name}").split("\n")[1].split()[2]
    output(f"python3.13 -IS /addresses.py $(xl domid {name}) {mib}")
    began += time.monotonic() - paused
    output(f"xl unpause {name}")
else:
    output(f"xl create {configuration}")
created = time.monotonic()
while not os.path.exists(log) or text not in open(log, errors="replace").read():
    if time.monotonic() - created > 60:
        sys.exit(f"{name} does not say: {text}")
    time.sleep(0.001)
print(f"@{token} value {name}/create.{number} {(created - began) * 1000:.1f}", flush=True)
print(f"@{token} value {name}/serving.{number} {(time.monotonic() - began) * 1000:.1f}", flush=True)
