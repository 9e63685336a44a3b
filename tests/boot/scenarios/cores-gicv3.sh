# Two guests, a disk and a wire, on two processors.
cores
