/* Xen's io/libxenvchan.h asks for it and uses nothing of it; freestanding C has none. */
