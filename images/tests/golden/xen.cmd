# Boots Xen on qemu-virt. Written by `outrigger build`: edit the machine file.
# U-Boot runs boot.scr, which is this file, from the medium that holds it and all files named here.
#
# xsm=dummy: any guest may use a driver domain that Dom0 connects it to. Xen's default on many
# systems, SILO, lets guests share memory with Dom0 only, and no driver domain could serve them.
# Xen starts the driver domains itself, before Dom0; Dom0 runs adopt.sh once.

load ${devtype} ${devnum}:${distro_bootpart} 0x42000000 ${prefix}host.dtb || exit 1
if itest 0x${filesize} -gt 0x200000; then echo "host.dtb is larger than 2 MiB"; exit 1; fi
fdt addr 0x42000000 || exit 1
fdt resize 0x10000

load ${devtype} ${devnum}:${distro_bootpart} 0x42400000 ${prefix}xen || exit 1
if itest 0x${filesize} -gt 0x800000; then echo "xen is larger than 8 MiB"; exit 1; fi

load ${devtype} ${devnum}:${distro_bootpart} 0x42c00000 ${prefix}block.img || exit 1

load ${devtype} ${devnum}:${distro_bootpart} 0x42e00000 ${prefix}block.dtb || exit 1

load ${devtype} ${devnum}:${distro_bootpart} 0x43000000 ${prefix}vmlinuz || exit 1
if itest 0x${filesize} -gt 0x6000000; then echo "vmlinuz is larger than 96 MiB"; exit 1; fi
fdt set /chosen/module@43000000 reg <0x0 0x43000000 0x0 0x${filesize}> || exit 1

load ${devtype} ${devnum}:${distro_bootpart} 0x49000000 ${prefix}initrd.img || exit 1
if itest 0x${filesize} -gt 0x77000000; then echo "initrd.img is larger than 1904 MiB"; exit 1; fi
fdt set /chosen/module@49000000 reg <0x0 0x49000000 0x0 0x${filesize}> || exit 1

booti 0x42400000 - 0x42000000
