# What a real U-Boot has booted by the builder's script is Dom0 as ever, with the driver domain's files at hand.
check "driver domain ready" start_block
check "ext4 with known hashes" ext4
check "xl shutdown of the driver domain" shut_down
