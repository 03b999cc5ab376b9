//! The driver of a supervised move, its guard and its undo journal.
