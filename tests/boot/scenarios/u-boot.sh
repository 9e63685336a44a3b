# What a real U-Boot has booted by the builder's script is Dom0 as ever, with the driver domain's files at hand.
# U-Boot's own frontend reads the kernel and closes; Linux's frontend connects to the same device.
by_u_boot() {
    cat >/tmp/loader.cfg <<CFG
name = "loader"
kernel = "/images/u-boot.bin"
memory = 256
vcpus = 1
extra = "console=hvc0 cma=0 loglevel=5 job=ext4 token=$TOKEN"
disk = [ '$(disk virtio1 xvda w)' ]
on_crash = "destroy"
CFG
    xl create /tmp/loader.cfg
    loader=$(xl domid loader)
    finish loader 200
    said loader "PVBLOCK: pvblock: 0"
    grep "vbd $loader/51712: connected, 1 rings of 1 pages" "$(log_of block)"
    [ "$(grep -c "vbd $loader/51712: connected, " "$(log_of block)")" = 2 ]
}
check "driver domain ready" start_block
check "ext4 with known hashes" ext4
check "a guest boots from its disk by U-Boot" by_u_boot
check "xl shutdown of the driver domain" shut_down
