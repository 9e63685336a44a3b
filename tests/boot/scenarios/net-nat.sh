# A network domain with an address of its own, and guests behind it.
. /jobs/net.sh # Dom0 is a peer of the guests
check "the driver domain has an address by DHCP" start_nat
check "the domain's own address answers" own_address
check "two guests have addresses by DHCP" leases
check "ping, in fragments too, and the router's own answer" nat_ping
check "known content and iperf3 through NAT" nat_tcp
check "the wire sees one MAC and one address" one_address
check "a guest of the bridge, from behind NAT" nat_to_bridge
check "what may not pass does not" nat_bounds
check "a guest that comes back has its address again" lease_again
check "xl shutdown of the network domain" shut_down_net
