# A driver domain with two disks, and everything that comes and goes around it.
check "guest created before its driver domain is ready" before_ready
check "ext4 with known hashes" ext4
check "read-only disk by PARTLABEL" read_only PARTLABEL=archive
check "two guests at once by number and PARTUUID" two_guests virtio0:1 PARTUUID=0b5a7f2e-2222-4000-8000-000000000002
check "no such partition" refused virtio0:9 "virtio0:9"
check "no such label" refused PARTLABEL=nowhere nowhere
check "second writer of a slice" two_writers
check "counters in XenStore" counters
check "discard" discard
check "attach and detach twenty times" attach_detach
check "a slow toolstack attaches and detaches" slow_toolstack
check "destroyed under I/O" destroy_under_io
check "resize of a running guest's disk" resize
check "a host's shutdown loses nothing" host_shutdown
check "xl shutdown of the driver domain" shut_down
check "a second xl shutdown ends it at once" shut_down_twice
