//! Sluice's admission webhook: envelope, caches, ledger actor, metrics and shutdown.
