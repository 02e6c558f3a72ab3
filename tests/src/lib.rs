//! Tests that cross crates: real API server, real binary, real kubectl.
