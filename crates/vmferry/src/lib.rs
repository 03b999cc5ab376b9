//! Live migration made predictable: the library other programs import.
