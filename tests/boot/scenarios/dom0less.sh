# The driver domain runs since before Dom0, and waits for Dom0 to connect it.
adopt() {
    [ ! -e /etc/xen/outrigger/block.cfg ]
    xl list 1
    sh /etc/xen/outrigger/adopt.sh
    [ "$(xl domid block)" = 1 ]
}
# No xl waits for the end of a domain that it has not created: what is left is Dom0's to remove.
shut_down_and_remove() {
    xl shutdown block
    wait_for 20 has_shut_down
    xl destroy block
    gone block
}
has_shut_down() {
    xl list block | awk 'NR == 2 { exit $5 !~ /s/ }'
}
check "started by Xen, taken on by Dom0" adopt
check "ext4 with known hashes" ext4
check "xl shutdown of the driver domain" shut_down_and_remove
