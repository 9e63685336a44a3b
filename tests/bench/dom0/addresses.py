# Tells a domain that has not begun to run yet where its memory is on the bus.
#
# usage: addresses.py DOMID MIB
#
# A domain that xl creates is not direct-mapped, and a machine without an IOMMU has nobody to translate for a device. Linux
# does not look its machine addresses up, but believes `dma-ranges` in its device tree; the tree that it was given has one of
# these for each 2 MiB, the unit in which Xen hands out memory, without addresses. They are put in here: each unit is granted
# to Dom0, which maps one page of it and asks Xen (`xl debug-keys g`) for the machine address of what is mapped.
import ctypes
import itertools
import os
import re
import struct
import sys

RAM = 0x40000  # GUEST_RAM0_BASE, in pages
UNIT = 512  # pages
BATCH = 64
PERMIT = 1  # GTF_permit_access
SPARE = 8  # the first grant that the toolstack does not use itself
READ, WRITE = 1, 2

domid, mib = int(sys.argv[1]), int(sys.argv[2])
units = mib // 2
memory = ctypes.CDLL("libxenforeignmemory.so.1")
grants = ctypes.CDLL("libxengnttab.so.1")
for function in (
    memory.xenforeignmemory_open,
    memory.xenforeignmemory_map,
    memory.xenforeignmemory_map_resource,
    grants.xengnttab_open,
    grants.xengnttab_map_domain_grant_refs,
):
    function.restype = ctypes.c_void_p
pointer = ctypes.c_void_p
privileged = pointer(memory.xenforeignmemory_open(None, 0))
mapper = pointer(grants.xengnttab_open(None, 0))


def must(result):
    if not result:
        sys.exit("addresses.py: Xen refuses")
    return result


def output(command):
    with os.popen(command) as pipe:
        return pipe.read()


def machine_pages(first, count):
    """The machine's number of the first page of each of `count` units."""
    entries = {SPARE + index: RAM + (first + index) * UNIT for index in range(count)}
    for reference, page in entries.items():
        table[8 * reference : 8 * reference + 8] = struct.pack("<HHI", PERMIT, 0, page)
    references = (ctypes.c_uint32 * count)(*entries)
    mapped = pointer(must(grants.xengnttab_map_domain_grant_refs(mapper, count, domid, references, READ)))
    output("xl dmesg -c")
    os.system("xl debug-keys g")
    said = output("xl dmesg -c")
    must(grants.xengnttab_unmap(mapper, mapped, count) == 0)
    for reference in entries:
        table[8 * reference : 8 * reference + 8] = bytes(8)
    found = {}
    for line in re.findall(r"\[0x\w+\]\s+\d+\s+0x(\w+)\s+0x\w+\s+0\s+0x(\w+)\s", said):
        found[int(line[1], 16)] = int(line[0], 16)
    return [found[page] for page in entries.values()]


def tree():
    """A page of the domain's memory with the beginning of its device tree, and the tree's length."""
    # xl puts it behind the ramdisk: 128 MiB from the beginning if there is so much, at the end otherwise.
    end = RAM + mib * 256
    for page in itertools.chain(range(RAM + 0x8000, end), range(end - 1, RAM, -1)):
        number = (ctypes.c_uint64 * 1)(page)
        errors = (ctypes.c_int * 1)()
        mapped = pointer(
            must(memory.xenforeignmemory_map(privileged, domid, READ, ctypes.c_size_t(1), number, errors))
        )
        magic, length = struct.unpack(">II", ctypes.string_at(mapped, 8))
        memory.xenforeignmemory_unmap(privileged, mapped, ctypes.c_size_t(1))
        if magic == 0xD00DFEED:
            return page, length
    sys.exit("addresses.py: the domain has no device tree")


shared = pointer()
must(
    memory.xenforeignmemory_map_resource(
        privileged,
        domid,
        1,  # XENMEM_resource_grant_table
        0,  # the shared frames
        ctypes.c_ulong(0),
        ctypes.c_ulong(1),
        ctypes.byref(shared),
        READ | WRITE,
        0,
    )
)
table = memoryview((ctypes.c_ubyte * 4096).from_address(shared.value)).cast("B")
numbers = []
for first in range(0, units, BATCH):
    numbers += machine_pages(first, min(BATCH, units - first))

page, length = tree()
pages = (length + 4095) // 4096
numbers_of_tree = (ctypes.c_uint64 * pages)(*range(page, page + pages))
errors = (ctypes.c_int * pages)()
mapped = must(
    memory.xenforeignmemory_map(
        privileged, domid, READ | WRITE, ctypes.c_size_t(pages), numbers_of_tree, errors
    )
)
tree_bytes = memoryview((ctypes.c_ubyte * length).from_address(mapped)).cast("B")
ranges = b"".join(
    struct.pack(">QQQ", 0, (RAM + unit * UNIT) << 12, UNIT << 12) for unit in reversed(range(units))
)
at = bytes(tree_bytes).find(ranges)
must(at > 0)
told = b"".join(
    struct.pack(">QQQ", number << 12, (RAM + unit * UNIT) << 12, UNIT << 12)
    for unit, number in reversed(list(enumerate(numbers)))
)
tree_bytes[at : at + len(told)] = told
runs = 1 + sum(after != before + UNIT for before, after in zip(numbers, numbers[1:]))
print(f"addresses.py: {units} units in {runs} runs: {[hex(number) for number in numbers]}")
