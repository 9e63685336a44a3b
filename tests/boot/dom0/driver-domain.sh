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

# A host shuts down all its domains in one pass, as Debian's xendomains does; the driver domain hears of it first. What its
# guests have written is on the disk afterwards, synced or not, and their file systems are closed.
host_shutdown() {
    for slice in 1 2; do
        guest user$slice mounted "$SMALL" "$(disk virtio0:$slice xvda w)"
    done
    for slice in 1 2; do
        wait_for 60 told user$slice mounted
    done
    users="$(xl domid user1)/51712 $(xl domid user2)/51712"
    for name in block user1 user2; do
        xl shutdown $name
    done
    wait_for 10 said block "is used by $users"
    [ "$(xenstore-read "/local/domain/$(xl domid block)/data/shutdown/used-by")" = "$users" ]
    finish user1 60
    finish user2 60
    wait_for 10 gone block
    again_block
    for slice in 1 2; do
        guest heir$slice unharmed "$SMALL" "$(disk virtio0:$slice xvda w)"
        finish heir$slice 60
    done
}

# A driver domain of that name, once more.
again_block() {
    rm -f "$(log_of block)"
    start_block
}

# `xl shutdown` ends the driver domain in good order.
shut_down() {
    xl shutdown block
    wait_for 20 gone block
}

# … and a second one at once, although a guest uses it.
shut_down_twice() {
    again_block
    guest stubborn hold "$SMALL" "$(disk virtio0:3 xvda r)"
    wait_for 60 said block "vbd $(xl domid stubborn)/51712: connected"
    xl shutdown block
    wait_for 10 said block "is used by $(xl domid stubborn)/51712"
    sleep 3
    xl domid block
    xl shutdown block
    wait_for 5 gone block
    xl destroy stubborn
}

# A toolstack that is kept from running just when it has written a device's nodes, and looks late: longer than the device
# would have shown a state by a timer of 100 ms (2) or a second (6).
slow_toolstack() {
    guest holder hold "$SMALL" "$(disk virtio0:3 xvda r)"
    wait_for 60 said block "vbd $(xl domid holder)/51712: connected"
    slowly 300000 51728 xl block-attach holder "$(disk virtio0:1 xvdb r)"
    wait_for 30 told holder "seen 1 "
    slowly 1500000 51728/state xl block-detach holder xvdb
    wait_for 30 told holder "lost 1"
    [ -z "$(xenstore-list "/libxl/$(xl domid holder)/device/vbd" | grep 51728)" ]
    xl destroy holder
}

# slowly MICROSECONDS NODE COMMAND...: runs the command, but stops it for so long when it has written a node of this name
# below the driver domain's backends.
slowly() {
    slow_pause=$1 slow_node=$2
    shift 2
    mkfifo /tmp/slowly
    xenstore-watch "/local/domain/$(xl domid block)/backend/vbd" >/tmp/slowly &
    slow_watch=$!
    exec 3</tmp/slowly
    rm /tmp/slowly
    read -r slow_path <&3 # each watch begins with an event of its own
    "$@" &
    slow_command=$!
    while read -r -t 20 slow_path <&3; do
        case $slow_path in */$slow_node) break ;; esac
    done
    kill -STOP $slow_command
    grep "^State:.*T" /proc/$slow_command/status # it has not ended before
    usleep "$slow_pause"
    kill -CONT $slow_command
    kill $slow_watch
    exec 3<&-
    wait $slow_command
}
