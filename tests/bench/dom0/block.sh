# Stock guests measure a disk, whoever serves it.
. /measuring.sh
. /plan # how many guests

create() {
    guest bench1 bench1 "$LARGE" "$(disk virtio0 xvda w)"
}
# The driver domain begins to run when its first vbd waits for it already; its log counts from its entry, in seconds.
create_both() {
    xl create -p /etc/xen/outrigger/block.cfg
    say value memory "$(mib_of block)"
    create &
    wait_for 60 backend_waits
    sleep 1
    xl unpause block
    wait $!
    say value state-2 "$(sed -n 's/^\[ *\([0-9.]*\)\].*waits for its frontend.*/\1/p' "$(log_of block)")"
    # What an image that reads its disk first says of it.
    sed -n 's/.* raw: \([0-9]*\) pages [0-9]* deep: \([0-9]*\) requests \([0-9]*\) failures \([0-9]*\) us.*/raw-\1 \2 \3 \4/p' \
        "$(log_of block)" | while read -r line; do
        say value "$line"
    done
}
one() {
    case $BACKEND in
    block) create_both ;;
    *)
        serve block
        create
        ;;
    esac
    measured bench1
}
# Several share the disk, so that none may write.
several() {
    serve block
    names=
    for number in $(seq "$guests"); do
        names="$names bench$number"
        guest "bench$number" "bench$number" "$LARGE" "$(disk virtio0 xvda r)"
    done
    measured $names
}
if [ "$guests" = 1 ]; then check measured one; else check measured several; fi
