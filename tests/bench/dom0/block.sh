# A stock guest measures its disk, whoever serves it, and every domain's processor time is read meanwhile.
# From here on nothing in Dom0 polls; measure.py shows the consoles.
kill $!
killall tail 2>/dev/null

say value xen "$(cat /sys/hypervisor/version/major).$(cat /sys/hypervisor/version/minor)$(cat /sys/hypervisor/version/extra)"
say value linux "$(uname -r)"
measure() {
    guest bench bench "$LARGE" "$(disk virtio0 xvda w)"
    python3.13 -IS /measure.py bench "$TOKEN"
    xl destroy bench
}
if [ "$BACKEND" = block ]; then
    xl create /etc/xen/outrigger/block.cfg
    say value memory "$(xl list block | awk 'NR == 2 { print $3 }')"
fi
check measured measure
