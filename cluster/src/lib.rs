//! A real local control plane from source: what sluice up and the tests run on.
