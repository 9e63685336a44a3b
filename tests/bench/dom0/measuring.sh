# What every measurement begins with: who serves, and from here on nothing in Dom0 polls; measure.py shows the consoles.
kill $!
killall tail 2>/dev/null

version=/sys/hypervisor/version
say value xen "$(cat $version/major).$(cat $version/minor)$(cat $version/extra)"
say value linux "$(uname -r)"

mib_of() {
    xl list "$1" | awk 'NR == 2 { print $3 }'
}

# Linux in the place of driver domain NAME; ready to serve when it says so.
create_linux_domain() {
    xl create -p "/etc/xen/outrigger/$1.cfg"
    python3.13 -IS /addresses.py "$(xl domid "$1")" "$(mib_of "$1")"
    xl unpause "$1"
    wait_for 60 said "$1" "linux: ready"
}

# serve CLASS: the backend, whoever it is; Linux in Dom0 is there already.
serve() {
    rm -f "$(log_of "$1")" # of an earlier one of this name
    case $BACKEND in
    linux) ;;
    linux-domain) create_linux_domain "$1" || return 1 ;;
    *)
        xl create "/etc/xen/outrigger/$1.cfg"
        wait_for 20 said "$1" ready || return 1
        ;;
    esac
    [ "$BACKEND" = linux ] || say value memory "$(mib_of "$1")"
}

# measured GUEST...: they do their jobs, every domain's processor time is read meanwhile, and then they are gone.
measured() {
    python3.13 -IS /measure.py "$TOKEN" "$@"
    for name; do
        xl destroy "$name"
    done
}
