# A network domain that fails, under two guests that fetch from each other what they can check.
check "both driver domains ready" start_failing_net 50
check "files fetched through 50 failures of every kind" fetch_through 50
check "xl shutdown of the network domain" shut_down_net
