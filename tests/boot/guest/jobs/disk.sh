# What jobs with a disk share.

# reads SECONDS: random reads of 4 KiB, one after the other: how many, and how long the longest took, in ms.
reads() {
    wait_for 20 opens /dev/xvda
    ioping -B -D -i 0 -w "$1" -s 4k /dev/xvda >/tmp/ioping
    # Numbers: requests, ns, requests a second, bytes a second, and of a request in ns the least, mean, most and deviation.
    say count "$(awk '{ print $1 }' /tmp/ioping)"
    say longest "$(awk '{ print int($7 / 1000000) }' /tmp/ioping)"
}
