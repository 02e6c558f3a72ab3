//! Sluice's certificates: CA and leaf, caBundle, reload without a restart.
