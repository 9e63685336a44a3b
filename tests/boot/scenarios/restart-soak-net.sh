# The same of the network domain.
check "what is held after one failure" net_once
check "driver domain ready" start_failing_net_alone 1000
check "files fetched through 1000 failures of every kind" fetch_through 1000 gale 3000
check "nothing is left behind" nothing_left net
check "what is held after 1000 failures" same_holdings net
check "xl shutdown of the network domain" shut_down_net
