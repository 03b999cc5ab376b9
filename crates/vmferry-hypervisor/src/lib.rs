//! Speaks to hypervisors: QEMU over QMP, local and through ssh.
