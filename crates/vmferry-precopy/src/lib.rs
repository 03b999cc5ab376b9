//! Replays of each hypervisor's pre-copy rules.
