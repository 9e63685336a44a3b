#!/bin/sh
# Run once in Dom0, when xenstored is up: takes on the driver domains that Xen has started.
# Written by `outrigger build`.
set -e
PATH="$PATH:$(echo /usr/lib/xen*/bin /usr/libexec/xen/bin | tr ' ' ':')"
init-dom0less

xenstore-chmod /local/domain/1 n0 r1
xl rename dom0less-1 block
