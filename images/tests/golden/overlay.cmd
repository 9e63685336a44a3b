# Boots Xen on qemu-virt. Written by `outrigger build`: edit the machine file.
# U-Boot runs boot.scr, which is this file, from the medium that holds it and all files named here.
#
# xsm=flask: the policy says which guest may use which driver domain; it must allow each pair.
# Dom0 starts the driver domains: xl create NAME.cfg.

load ${devtype} ${devnum}:${distro_bootpart} 0x42000000 ${prefix}host.dtbo || exit 1
if itest 0x${filesize} -gt 0x200000; then echo "host.dtbo is larger than 2 MiB"; exit 1; fi
# The tree that the firmware left, copied to where it can grow.
if test -z "${fdt_addr}"; then setenv fdt_addr ${fdtcontroladdr}; fi
fdt move ${fdt_addr} 0x42200000 0x200000 || exit 1
fdt apply 0x42000000 || exit 1

load ${devtype} ${devnum}:${distro_bootpart} 0x42400000 ${prefix}xen || exit 1
if itest 0x${filesize} -gt 0x800000; then echo "xen is larger than 8 MiB"; exit 1; fi

load ${devtype} ${devnum}:${distro_bootpart} 0x42e00000 ${prefix}vmlinuz || exit 1
if itest 0x${filesize} -gt 0x6000000; then echo "vmlinuz is larger than 96 MiB"; exit 1; fi
fdt set /chosen/module@42e00000 reg <0x0 0x42e00000 0x0 0x${filesize}> || exit 1

load ${devtype} ${devnum}:${distro_bootpart} 0x48e00000 ${prefix}initrd.img || exit 1
if itest 0x${filesize} -gt 0x77200000; then echo "initrd.img is larger than 1906 MiB"; exit 1; fi
fdt set /chosen/module@48e00000 reg <0x0 0x48e00000 0x0 0x${filesize}> || exit 1

load ${devtype} ${devnum}:${distro_bootpart} 0x42c00000 ${prefix}xenpolicy || exit 1
if itest 0x${filesize} -gt 0x200000; then echo "xenpolicy is larger than 2 MiB"; exit 1; fi
fdt set /chosen/module@42c00000 reg <0x0 0x42c00000 0x0 0x${filesize}> || exit 1

booti 0x42400000 - 0x42200000
