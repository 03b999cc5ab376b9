//! The record of forecasts and outcomes.
