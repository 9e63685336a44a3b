# A stock guest measures its disk, whoever serves it, and every domain's processor time is read meanwhile.
# From here on nothing in Dom0 polls; measure.py shows the consoles.
kill $!
killall tail 2>/dev/null

version=/sys/hypervisor/version
say value xen "$(cat $version/major).$(cat $version/minor)$(cat $version/extra)"
say value linux "$(uname -r)"

create() {
    guest bench bench "$LARGE" "$(disk virtio0 xvda w)"
}
# The driver domain begins to run when its first vbd waits for it already; its log counts from its entry, in seconds.
create_both() {
    xl create -p /etc/xen/outrigger/block.cfg
    say value memory "$(xl list block | awk 'NR == 2 { print $3 }')"
    create &
    wait_for 60 backend_waits
    sleep 1
    xl unpause block
    wait $!
    say value state-2 "$(sed -n 's/^\[ *\([0-9.]*\)\].*waits for its frontend.*/\1/p' "$(log_of block)")"
}
measure() {
    if [ "$BACKEND" = block ]; then create_both; else create; fi
    python3.13 -IS /measure.py "$TOKEN" bench
    xl destroy bench
}
check measured measure
