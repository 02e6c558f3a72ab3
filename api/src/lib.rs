//! Sluice's Kubernetes kinds: CRD types, conditions and event reasons. Data only, no I/O.
