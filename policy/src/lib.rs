//! Sluice's decisions: dialects, defaults, immutability, CPU charge and the quota ledger. Pure, no I/O, no clock.
