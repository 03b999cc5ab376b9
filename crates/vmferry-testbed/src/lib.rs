//! Two hosts on one machine: network namespaces, a shaped link, real QEMU, guest images.
