//! Samplers: guest pages, page mix, link, CPU.
