# Linux blkback in Dom0 serves; the harness proves itself.
check "ext4 with known hashes" ext4
check "read-only disk" read_only virtio0:2
check "two guests at once" two_guests virtio0:1 virtio0:2
check "attach and detach twenty times" attach_detach
check "destroyed under I/O" destroy_under_io
