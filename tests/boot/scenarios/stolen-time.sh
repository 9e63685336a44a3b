# Two guests, a disk and a wire, on two processors that now and then stand still.
stolen_time
