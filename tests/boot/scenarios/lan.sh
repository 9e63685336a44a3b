# Eight guests and the wire behind one network driver domain.
. /jobs/net.sh # Dom0 is a peer of the guests
check "the driver domain and eight guests" start_lan
check "pings of 1 to 65,507 bytes" ping_sizes
check "known content each way" known_content
check "iperf3 each way" iperf_each_way
check "frames of the mtu, and jumbo frames" mtu_edges
check "XDP programs come and go" xdp
check "no guest hears another's frames" sniffing
check "no guest speaks for another" spoofing
check "VLANs" vlans
check "rate limit within a tenth" rate_limit
check "attach and detach under traffic" attach_detach_under_traffic
check "destroyed under traffic" destroyed_under_traffic
check "eight guests at once" eight_at_once
check "counters in XenStore" counters_agree
check "xl shutdown of the network domain" shut_down_net
