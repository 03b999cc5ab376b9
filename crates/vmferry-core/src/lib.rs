//! The vocabulary of vmferry: units, ids, observation, forecast, events, outcome.
