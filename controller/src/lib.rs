//! Sluice's controller: keeps the quota ledger true and performs the runtime transitions.
