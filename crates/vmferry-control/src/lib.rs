//! Policies without I/O: the phase table of a live migration.
