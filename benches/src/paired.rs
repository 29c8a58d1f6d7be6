//! Ratios that repeat on a noisy machine: short batches, every case once in each round, paired within the round.
