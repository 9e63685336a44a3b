# The driver domain `block`, as the image builder has put it into /etc/xen/outrigger.

# Created, and ready to serve: it says so on its console.
start_block() {
    xl create /etc/xen/outrigger/block.cfg
    wait_for 20 said block ready
}

# A guest is created while its driver domain has not begun to run: xl waits for the backend, and gets it.
before_ready() {
    xl create -p /etc/xen/outrigger/block.cfg
    guest early ext4 "$SMALL" "$(disk virtio0:1 xvda w)" &
    wait_for 60 backend_waits
    xl unpause block
    wait $!
    finish early 90
}

backend_waits() {
    xenstore-ls "/local/domain/$(xl domid block)/backend/vbd" | grep -q online
}

# refused TARGET TEXT: the driver domain refuses the target and says why, xl passes the refusal on, and all else goes on.
refused() {
    if guest stranger hello "$SMALL" "$(disk "$1" xvda w)"; then
        echo "created with a disk that does not exist: $1"
        return 1
    fi
    wait_for 5 said block "$2"
    # What is left of a guest whose creation failed is xl's to remove.
    wait_for 15 gone stranger
    [ -n "$(xl domid block)" ]
}

# One slice for two writers: the second is refused, by the first one's number, and the first goes on.
two_writers() {
    guest writer hold "$SMALL" "$(disk virtio0:3 xvda w)"
    wait_for 60 said block "vbd $(xl domid writer)/51712: connected"
    refused virtio0:3 "is written by vbd"
}

# What the first one's kernel has read by now, partition tables at least.
counters() {
    wait_for 15 statistics writer 'reads=[1-9]'
    xl destroy writer
}

# statistics GUEST PATTERN: the driver domain says so of the guest's xvda.
statistics() {
    xenstore-read "/local/domain/$(xl domid block)/backend/vbd/$(xl domid "$1")/51712/statistics" | grep "$2"
}

# The same as `verify`, with a frontend that uses two rings of four pages each.
verify_rings() {
    GUEST_VCPUS=2 GUEST_BLKFRONT=max_ring_page_order=2,max_queues=2
    guest rings verify "$LARGE" "$(disk virtio1 xvda w)"
    wait_for 90 said block "2 rings of 4 pages"
    finish rings 300
}

# The disk grows under a running guest, which sees it at once.
resize() {
    guest grower resize "$SMALL" "$(disk virtio1 xvda w)"
    wait_for 60 told grower "size 131072"
    say monitor block_resize disk1 96M
    finish grower 30
    told grower "size 196608"
}

# `xl shutdown` ends the driver domain in good order.
shut_down() {
    xl shutdown block
    wait_for 20 gone block
}
