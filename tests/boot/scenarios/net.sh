# A network driver domain beside a block driver domain.
check "both driver domains ready" start_both
check "guest to wire, guest to guest, and a file each way" exchange
check "a segment is private" private
check "disk and network in one guest" both_classes
check "xl shutdown of the network domain" shut_down_net
