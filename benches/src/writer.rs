//! A writer at a fixed rate on another core.
