//! From observations to forecasts.
