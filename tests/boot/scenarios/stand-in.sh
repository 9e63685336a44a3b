# Linux blkback in Dom0 serves; the harness proves itself.
ext4() {
    guest system ext4 192 "$(disk virtio0:1 xvda w)"
    finish system 60
}
read_only() {
    guest reader readonly 192 "$(disk virtio0:2 xvda r)"
    finish reader 60
}
check "ext4 with known hashes" ext4
check "read-only disk" read_only
