# A driver domain dies altogether, and a new one takes its place.
check "both driver domains ready" start_both
check "network cards are plugged in again" network
check "disks are plugged in again" disks
check "what is served is left alone" again
